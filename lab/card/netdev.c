// SPDX-License-Identifier: GPL-2.0-only
/*
 * The netdevs, and how packets go between them.
 *
 *   wire <-> uplink     representor of VF n <-> VF n (its sink, or its netdev)
 *
 * What the wire or a VF sends is offered to the rules in "hardware" first.
 */
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <net/pkt_cls.h>

#include "labcx.h"

/* Under RCU: the netdev that gets what this one sends. */
static struct net_device *other_end(struct labcx_netdev *priv)
{
	switch (priv->kind) {
	case LABCX_UPLINK:
		return READ_ONCE(priv->card->wire);
	case LABCX_WIRE:
		return READ_ONCE(priv->card->uplink);
	case LABCX_REP:
		return rcu_dereference(priv->vf->netdev);
	case LABCX_VF:
		return rcu_dereference(priv->vf->rep);
	}
	return NULL;
}

/* Under RCU. */
static bool taken_by_sink(struct labcx_netdev *priv, struct sk_buff *skb)
{
	struct labcx_sink *sink;

	if (priv->kind != LABCX_REP)
		return false;
	sink = rcu_dereference(priv->vf->sink);
	return sink && sink->receive(sink, skb);
}

/* Under RCU: the port by which what this netdev sends enters the switch. */
static struct labcx_netdev *entry_port(struct labcx_netdev *priv)
{
	struct net_device *port;

	if (priv->kind != LABCX_WIRE && priv->kind != LABCX_VF)
		return NULL;
	port = other_end(priv);
	return port ? netdev_priv(port) : NULL;
}

void labcx_deliver(struct labcx_netdev *port, struct sk_buff *skb)
{
	unsigned int len = skb->len;
	struct net_device *to;

	if (taken_by_sink(port, skb))
		return;
	to = other_end(port);
	if (!to || !netif_running(to))
		kfree_skb(skb);
	else if (dev_forward_skb(to, skb) == NET_RX_SUCCESS)
		dev_sw_netstats_rx_add(to, len);
}

static netdev_tx_t labcx_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct labcx_netdev *priv = netdev_priv(dev);
	struct labcx_netdev *entry;
	unsigned int len = skb->len;
	struct net_device *to;

	rcu_read_lock();
	entry = entry_port(priv);
	if (taken_by_sink(priv, skb) || (entry && labcx_forward(entry, skb))) {
		dev_sw_netstats_tx_add(dev, 1, len);
		goto out;
	}
	to = other_end(priv);
	if (!to || !netif_running(to)) {
		dev_core_stats_tx_dropped_inc(dev);
		kfree_skb(skb);
		goto out;
	}
	skb_tx_timestamp(skb);
	if (dev_forward_skb(to, skb) == NET_RX_SUCCESS) {
		dev_sw_netstats_tx_add(dev, 1, len);
		dev_sw_netstats_rx_add(to, len);
	} else {
		dev_core_stats_tx_dropped_inc(dev);
	}
out:
	rcu_read_unlock();
	return NETDEV_TX_OK;
}

/* What a VF's user other than its netdev sends, seen as received by the representor. */
void labcx_vf_send(struct labcx_vf *vf, struct sk_buff *skb)
{
	struct net_device *rep;

	rcu_read_lock();
	rep = rcu_dereference(vf->rep);
	if (rep && labcx_forward(netdev_priv(rep), skb)) {
		/* It never came this way. */
	} else if (rep && netif_running(rep)) {
		dev_sw_netstats_rx_add(rep, skb->len);
		skb->protocol = eth_type_trans(skb, rep);
		netif_rx(skb);
	} else {
		kfree_skb(skb);
	}
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(labcx_vf_send);

static int labcx_open(struct net_device *dev)
{
	netif_carrier_on(dev);
	return 0;
}

static int labcx_stop(struct net_device *dev)
{
	netif_carrier_off(dev);
	return 0;
}

/* As mlx5's set_feature_hw_tc(). */
static int labcx_set_features(struct net_device *dev, netdev_features_t features)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	if ((dev->features & NETIF_F_HW_TC) && !(features & NETIF_F_HW_TC) &&
	    atomic_read(&priv->card->flows)) {
		netdev_err(dev, "Active offloaded tc filters, can't turn hw_tc_offload off\n");
		return -EINVAL;
	}
	return 0;
}

/* With what the hardware forwarded, as mlx5's representors count. */
static void port_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	dev_get_tstats64(dev, stats);
	stats->rx_packets += atomic64_read(&priv->hw_rx_packets);
	stats->rx_bytes += atomic64_read(&priv->hw_rx_bytes);
	stats->tx_packets += atomic64_read(&priv->hw_tx_packets);
	stats->tx_bytes += atomic64_read(&priv->hw_tx_bytes);
}

static bool port_has_offload_stats(const struct net_device *dev, int attr_id)
{
	return attr_id == IFLA_OFFLOAD_XSTATS_CPU_HIT;
}

/* Without it: what the host's CPU has seen. */
static int port_get_offload_stats(int attr_id, const struct net_device *dev, void *data)
{
	if (attr_id != IFLA_OFFLOAD_XSTATS_CPU_HIT)
		return -EINVAL;
	dev_get_tstats64((struct net_device *)dev, data);
	return 0;
}

static const struct net_device_ops uplink_ops = {
	.ndo_open = labcx_open,
	.ndo_stop = labcx_stop,
	.ndo_start_xmit = labcx_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_set_features = labcx_set_features,
	.ndo_setup_tc = labcx_setup_tc,
	.ndo_get_stats64 = port_get_stats64,
	.ndo_has_offload_stats = port_has_offload_stats,
	.ndo_get_offload_stats = port_get_offload_stats,
	.ndo_set_vf_mac = labcx_set_vf_mac,
	.ndo_set_vf_trust = labcx_set_vf_trust,
	.ndo_set_vf_spoofchk = labcx_set_vf_spoofchk,
	.ndo_get_vf_config = labcx_get_vf_config,
};

static const struct net_device_ops rep_ops = {
	.ndo_open = labcx_open,
	.ndo_stop = labcx_stop,
	.ndo_start_xmit = labcx_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_set_features = labcx_set_features,
	.ndo_setup_tc = labcx_setup_tc,
	.ndo_get_stats64 = port_get_stats64,
	.ndo_has_offload_stats = port_has_offload_stats,
	.ndo_get_offload_stats = port_get_offload_stats,
};

struct labcx_netdev *labcx_port(struct labcx *card, struct net_device *dev)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	if (dev->netdev_ops != &uplink_ops && dev->netdev_ops != &rep_ops)
		return NULL;
	return priv->card == card ? priv : NULL;
}

static const struct net_device_ops end_ops = {
	.ndo_open = labcx_open,
	.ndo_stop = labcx_stop,
	.ndo_start_xmit = labcx_xmit,
	.ndo_set_mac_address = eth_mac_addr,
};

static void labcx_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	strscpy(info->driver, priv->kind == LABCX_REP ? "mlx5e_rep" : "mlx5_core",
		sizeof(info->driver));
	strscpy(info->fw_version, LABCX_FW " (" LABCX_PSID ")", sizeof(info->fw_version));
	if (dev->dev.parent)
		strscpy(info->bus_info, dev_name(dev->dev.parent), sizeof(info->bus_info));
}

static const struct ethtool_ops labcx_ethtool_ops = {
	.get_drvinfo = labcx_get_drvinfo,
	.get_link = ethtool_op_get_link,
};

/* The same at each boot: locally administered, with the PF's place on the bus. */
static void permanent_address(struct labcx *card, u8 *mac)
{
	const u8 address[ETH_ALEN] = {
		0x02, 0x15, 0xb3, card->pdev->bus->number, card->pdev->devfn, 0
	};

	ether_addr_copy(mac, address);
}

static void set_address(struct net_device *dev, struct labcx_netdev *priv)
{
	u8 mac[ETH_ALEN];

	if (priv->kind == LABCX_UPLINK) {
		permanent_address(priv->card, mac);
		eth_hw_addr_set(dev, mac);
	} else if (priv->kind == LABCX_VF && !ignore_mac &&
		   is_valid_ether_addr(priv->vf->mac)) {
		eth_hw_addr_set(dev, priv->vf->mac);
	} else {
		eth_hw_addr_random(dev);
	}
}

/* Everything that makes one kind of netdev different from the others. */
static void set_kind(struct net_device *dev, struct labcx_netdev *priv)
{
	struct labcx *card = priv->card;

	switch (priv->kind) {
	case LABCX_UPLINK:
		dev->netdev_ops = &uplink_ops;
		/* Off until somebody turns it on, as on mlx5's uplink. */
		dev->hw_features |= NETIF_F_HW_TC;
		SET_NETDEV_DEV(dev, &card->pdev->dev);
		SET_NETDEV_DEVLINK_PORT(dev, &card->port);
		break;
	case LABCX_REP:
		dev->netdev_ops = &rep_ops;
		dev->hw_features |= NETIF_F_HW_TC;
		dev->features |= NETIF_F_HW_TC;
		SET_NETDEV_DEV(dev, &card->pdev->dev);
		SET_NETDEV_DEVLINK_PORT(dev, &priv->vf->port);
		break;
	case LABCX_WIRE:
		dev->netdev_ops = &end_ops;
		snprintf(dev->name, IFNAMSIZ, "wire%u", card->pdev->bus->number);
		break;
	case LABCX_VF:
		dev->netdev_ops = &end_ops;
		SET_NETDEV_DEV(dev, &priv->vf->pdev->dev);
		break;
	}
}

struct net_device *labcx_netdev_create(struct labcx *card, enum labcx_kind kind,
				       struct labcx_vf *vf)
{
	struct labcx_netdev *priv;
	struct net_device *dev;
	int err;

	dev = alloc_etherdev(sizeof(*priv));
	if (!dev)
		return ERR_PTR(-ENOMEM);
	priv = netdev_priv(dev);
	priv->dev = dev;
	priv->card = card;
	priv->kind = kind;
	priv->vf = vf;
	INIT_LIST_HEAD(&priv->rules);

	dev->ethtool_ops = &labcx_ethtool_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->max_mtu = 9978;
	dev->priv_flags |= IFF_NO_QUEUE | IFF_LIVE_ADDR_CHANGE;
	dev->features |= NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_HIGHDMA;
	set_kind(dev, priv);
	set_address(dev, priv);
	netif_carrier_off(dev);

	err = register_netdev(dev);
	if (err) {
		free_netdev(dev);
		return ERR_PTR(err);
	}
	return dev;
}

void labcx_netdev_destroy(struct net_device *dev)
{
	labcx_forget_port(netdev_priv(dev));
	unregister_netdev(dev);
	free_netdev(dev);
}
