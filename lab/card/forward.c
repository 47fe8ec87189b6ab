// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands for the hardware: a packet that enters the switch by a port is
 * held against the port's rules, and the first that fits forwards it. It never
 * reaches the representor then, nor tc: the rule counts it, and tc's software
 * counters stay where they are. A packet that no rule fits goes to the
 * representor, as on a real card.
 *
 * Packets are taken apart by the kernel's own flow dissector, the one that tc
 * flower uses.
 */
#include <linux/skbuff.h>
#include <net/flow_dissector.h>
#include <net/flow_offload.h>

#include "labcx.h"

static struct flow_dissector dissector;

#define KEY(id, member) {						\
	.key_id = FLOW_DISSECTOR_KEY_##id,				\
	.offset = offsetof(struct labcx_key, member),			\
}

static const struct flow_dissector_key keys[] = {
	KEY(CONTROL, control),
	KEY(BASIC, basic),
	KEY(ETH_ADDRS, eth),
	KEY(VLAN, vlan),
	KEY(IPV4_ADDRS, ipv4),
	KEY(IPV6_ADDRS, ipv6),
	KEY(PORTS, ports),
};

static const size_t key_sizes[] = {
	sizeof_field(struct labcx_key, control),
	sizeof_field(struct labcx_key, basic),
	sizeof_field(struct labcx_key, eth),
	sizeof_field(struct labcx_key, vlan),
	sizeof_field(struct labcx_key, ipv4),
	sizeof_field(struct labcx_key, ipv6),
	sizeof_field(struct labcx_key, ports),
};

void labcx_forward_init(void)
{
	BUILD_BUG_ON(ARRAY_SIZE(keys) != ARRAY_SIZE(key_sizes));
	skb_flow_dissector_init(&dissector, keys, ARRAY_SIZE(keys));
}

/* Nobody has tracked a packet that enters the switch: that is all that can be asked. */
static bool asks_for_untracked(const struct flow_match *match)
{
	int offset = match->dissector->offset[FLOW_DISSECTOR_KEY_CT];
	const struct flow_dissector_key_ct *key = (const void *)((u8 *)match->key + offset);
	const struct flow_dissector_key_ct *mask = (const void *)((u8 *)match->mask + offset);

	return !(key->ct_state & mask->ct_state) && !mask->ct_zone && !mask->ct_mark &&
	       !memchr_inv(mask->ct_labels, 0, sizeof(mask->ct_labels));
}

int labcx_rule_parse_match(struct labcx_rule *rule, const struct flow_match *match,
			   struct netlink_ext_ack *extack)
{
	u64 unknown = match->dissector->used_keys;
	int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		int id = keys[i].key_id;
		int offset = match->dissector->offset[id];

		if (!dissector_uses_key(match->dissector, id))
			continue;
		unknown &= ~BIT_ULL(id);
		memcpy((u8 *)&rule->key + keys[i].offset, match->key + offset, key_sizes[i]);
		memcpy((u8 *)&rule->mask + keys[i].offset, match->mask + offset, key_sizes[i]);
	}
	if (dissector_uses_key(match->dissector, FLOW_DISSECTOR_KEY_CT) && asks_for_untracked(match))
		unknown &= ~BIT_ULL(FLOW_DISSECTOR_KEY_CT);
	if (unknown) {
		NL_SET_ERR_MSG_MOD(extack, "Unsupported key");
		return -EOPNOTSUPP;
	}
	/* How the dissector got to the addresses is none of the packet. */
	rule->mask.control.thoff = 0;
	rule->mask.control.addr_type = 0;
	return 0;
}

struct labcx_rule *labcx_rule_find(struct labcx_netdev *port, unsigned long cookie)
{
	struct labcx_rule *rule;

	list_for_each_entry(rule, &port->rules, list)
		if (rule->cookie == cookie)
			return rule;
	return NULL;
}

void labcx_rule_insert(struct labcx_rule *rule)
{
	struct labcx *card = rule->port->card;
	struct list_head *after = &rule->port->rules;
	struct labcx_rule *other;

	spin_lock(&card->rules_lock);
	list_for_each_entry(other, &rule->port->rules, list) {
		if (other->prio > rule->prio)
			break;
		after = &other->list;
	}
	list_add_rcu(&rule->list, after);
	spin_unlock(&card->rules_lock);
}

void labcx_rule_remove(struct labcx_rule *rule)
{
	struct labcx *card = rule->port->card;

	spin_lock(&card->rules_lock);
	list_del_rcu(&rule->list);
	spin_unlock(&card->rules_lock);
	kfree_rcu(rule, rcu);
}

static void forget_in(struct labcx_netdev *port, struct labcx_netdev *gone)
{
	struct labcx_rule *rule;
	int i;

	list_for_each_entry(rule, &port->rules, list)
		for (i = 0; i < rule->outputs; i++)
			if (rule->out[i] == gone)
				WRITE_ONCE(rule->out[i], NULL);
}

/* No rule leads to this port any more; a grace period later nobody is on the way there. */
void labcx_forget_port(struct labcx_netdev *gone)
{
	struct labcx *card = gone->card;
	struct net_device *rep;
	int i;

	spin_lock(&card->rules_lock);
	if (card->uplink)
		forget_in(netdev_priv(card->uplink), gone);
	rcu_read_lock();
	for (i = 0; i < LABCX_MAX_VFS; i++) {
		rep = rcu_dereference(card->vfs[i].rep);
		if (rep)
			forget_in(netdev_priv(rep), gone);
	}
	rcu_read_unlock();
	spin_unlock(&card->rules_lock);
}

static bool fits(const struct labcx_rule *rule, const struct labcx_key *key)
{
	const u8 *wanted = (const u8 *)&rule->key;
	const u8 *mask = (const u8 *)&rule->mask;
	const u8 *has = (const u8 *)key;
	size_t i;

	for (i = 0; i < sizeof(*key); i++)
		if ((wanted[i] ^ has[i]) & mask[i])
			return false;
	return true;
}

static void send_out(struct labcx_rule *rule, struct sk_buff *skb)
{
	int i;

	for (i = 0; i < rule->outputs; i++) {
		struct labcx_netdev *out = READ_ONCE(rule->out[i]);
		struct sk_buff *copy;

		if (!out)
			continue;
		copy = skb_clone(skb, GFP_ATOMIC);
		if (!copy)
			continue;
		atomic64_inc(&out->hw_tx_packets);
		atomic64_add(skb->len, &out->hw_tx_bytes);
		labcx_deliver(out, copy);
	}
	consume_skb(skb);
}

/*
 * Under RCU, with the Ethernet header at skb->data. True: a rule of the port by
 * which the packet enters the switch has taken it.
 */
bool labcx_forward(struct labcx_netdev *port, struct sk_buff *skb)
{
	struct labcx_rule *rule;
	struct labcx_key key;

	if (list_empty(&port->rules) || !pskb_may_pull(skb, ETH_HLEN))
		return false;
	skb->dev = port->dev;
	skb_reset_mac_header(skb);
	skb_set_network_header(skb, ETH_HLEN);
	skb->protocol = eth_hdr(skb)->h_proto;
	memset(&key, 0, sizeof(key));
	__skb_flow_dissect(dev_net(port->dev), skb, &dissector, &key, NULL, 0, 0, 0, 0);

	list_for_each_entry_rcu(rule, &port->rules, list) {
		if (!fits(rule, &key))
			continue;
		if (rule->conntrack)
			return false;
		atomic64_inc(&rule->packets);
		atomic64_add(skb->len, &rule->bytes);
		WRITE_ONCE(rule->lastuse, jiffies);
		atomic64_inc(&port->hw_rx_packets);
		atomic64_add(skb->len, &port->hw_rx_bytes);
		send_out(rule, skb);
		return true;
	}
	return false;
}
