// SPDX-License-Identifier: GPL-2.0-only
/*
 * tc flower rules: taken, refused or asked what they have counted.
 *
 * What is refused is what mlx5 of Linux 6.12 refuses too, with its words, and
 * much besides that a ConnectX can do and this card cannot: a key that is not
 * in the table of forward.c, an action that neither forwards nor drops. A rule
 * that leads to conntrack is taken, and the card knows no connection: what fits
 * goes to the kernel, as on a ConnectX before a connection is established.
 */
#include <net/flow_offload.h>
#include <net/pkt_cls.h>

#include "labcx.h"

static int parse_actions(struct labcx_rule *rule, struct flow_action *actions,
			 struct netlink_ext_ack *extack)
{
	struct flow_action_entry *act;
	int i;

	flow_action_for_each(i, act, actions) {
		switch (act->id) {
		case FLOW_ACTION_DROP:
			break;
		case FLOW_ACTION_REDIRECT:
		case FLOW_ACTION_MIRRED:
			if (rule->outputs == LABCX_MAX_OUTPUTS) {
				NL_SET_ERR_MSG_MOD(extack, "can't support more output ports, can't offload forwarding");
				return -EOPNOTSUPP;
			}
			rule->out[rule->outputs] = labcx_port(rule->port->card, act->dev);
			if (!rule->out[rule->outputs]) {
				NL_SET_ERR_MSG_MOD(extack, "devices are not on same switch HW, can't offload forwarding");
				return -EOPNOTSUPP;
			}
			rule->outputs++;
			break;
		case FLOW_ACTION_CT:
			rule->conntrack = true;
			break;
		case FLOW_ACTION_GOTO:
			/* Where conntrack leads to. No other chain is taken, see add_rule(). */
			if (rule->conntrack)
				break;
			fallthrough;
		default:
			NL_SET_ERR_MSG_MOD(extack, "Not implemented offload action");
			return -EOPNOTSUPP;
		}
	}
	return 0;
}

static int add_rule(struct labcx_netdev *port, struct flow_cls_offload *flower)
{
	struct flow_rule *flow = flow_cls_offload_flow_rule(flower);
	struct netlink_ext_ack *extack = flower->common.extack;
	struct labcx_rule *rule;
	int err;

	if (reject_tc) {
		NL_SET_ERR_MSG_MOD(extack, "the lab's card is told to refuse flower rules");
		return -EOPNOTSUPP;
	}
	if (!tc_cls_can_offload_and_chain0(port->dev, &flower->common))
		return -EOPNOTSUPP;

	rule = kzalloc(sizeof(*rule), GFP_KERNEL);
	if (!rule)
		return -ENOMEM;
	rule->port = port;
	rule->cookie = flower->cookie;
	rule->prio = flower->common.prio;

	err = labcx_rule_parse_match(rule, &flow->match, extack);
	if (!err)
		err = parse_actions(rule, &flow->action, extack);
	if (err) {
		kfree(rule);
		return err;
	}
	labcx_rule_insert(rule);
	atomic_inc(&port->card->flows);
	return 0;
}

static int remove_rule(struct labcx_netdev *port, struct flow_cls_offload *flower)
{
	struct labcx_rule *rule = labcx_rule_find(port, flower->cookie);

	if (!rule)
		return -ENOENT;
	labcx_rule_remove(rule);
	atomic_dec(&port->card->flows);
	return 0;
}

/* tc adds up what is new since the last time. */
static int rule_stats(struct labcx_netdev *port, struct flow_cls_offload *flower)
{
	struct labcx_rule *rule = labcx_rule_find(port, flower->cookie);
	u64 packets;
	u64 bytes;

	if (!rule)
		return -ENOENT;
	packets = atomic64_read(&rule->packets);
	bytes = atomic64_read(&rule->bytes);
	flow_stats_update(&flower->stats, bytes - rule->told_bytes,
			  packets - rule->told_packets, 0,
			  READ_ONCE(rule->lastuse), FLOW_ACTION_HW_STATS_DELAYED);
	rule->told_packets = packets;
	rule->told_bytes = bytes;
	return 0;
}

/* Under the RTNL, which tc takes for drivers that do not say they need none. */
static int rule_callback(enum tc_setup_type type, void *data, void *cb_priv)
{
	struct flow_cls_offload *flower = data;
	struct labcx_netdev *port = cb_priv;

	if (type != TC_SETUP_CLSFLOWER)
		return -EOPNOTSUPP;
	switch (flower->command) {
	case FLOW_CLS_REPLACE:
		return add_rule(port, flower);
	case FLOW_CLS_DESTROY:
		return remove_rule(port, flower);
	case FLOW_CLS_STATS:
		return rule_stats(port, flower);
	default:
		return -EOPNOTSUPP;
	}
}

static LIST_HEAD(block_callbacks);

int labcx_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	if (type != TC_SETUP_BLOCK)
		return -EOPNOTSUPP;
	return flow_block_cb_setup_simple(data, &block_callbacks, rule_callback,
					  priv, priv, true);
}
