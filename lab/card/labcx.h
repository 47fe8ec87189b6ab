/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * labcx: a pretend SR-IOV card with an embedded switch, for virtual machines.
 *
 * QEMU's igb and nvme have real SR-IOV capabilities, and nothing else that is
 * needed. This driver takes them under the name mlx5_core and shows, through
 * the kernel's own interfaces, what mlx5_core shows on a ConnectX: a devlink
 * eswitch, representors, VF netdevs and flower rules in "hardware". Where it
 * refuses something, it does so where mlx5 of Linux 6.12 does, with its words.
 *
 * There is no hardware: packets go between a VF's netdev (or vDPA device) and
 * its representor, and between the uplink and a netdev that stands for the
 * other end of the cable. Rules that say in_hw are carried out by this driver,
 * before the representor or tc see the packet: hardware counters are its own.
 */
#ifndef LABCX_H
#define LABCX_H

#include <linux/auxiliary_bus.h>
#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <net/devlink.h>
#include <net/flow_dissector.h>

#define LABCX_MAX_VFS	127
#define LABCX_FW	"22.39.1002"
#define LABCX_PSID	"MT_0000000359"

/* devlink's index of the uplink's port, as on mlx5; a VF's is its index + 1. */
#define LABCX_UPLINK_PORT	0xffff

enum labcx_kind {
	LABCX_UPLINK,		/* the PF's netdev, in both eswitch modes */
	LABCX_WIRE,		/* the far end of the uplink's cable */
	LABCX_REP,		/* a VF's representor */
	LABCX_VF,		/* a VF's own netdev */
};

struct labcx;

/* Somebody besides the VF's netdev who takes the VF's packets. */
struct labcx_sink {
	/* Under RCU, bottom halves off. False: not now, give it to the netdev. */
	bool (*receive)(struct labcx_sink *sink, struct sk_buff *skb);
};

struct labcx_vf {
	struct labcx *card;
	int index;

	/* Set through the PF; the VF takes them when it is probed. */
	u8 mac[ETH_ALEN];
	bool trust;
	bool spoofchk;
	u64 tx_share;		/* bytes a second, through devlink's rates */
	u64 tx_max;

	struct devlink_port port;
	struct net_device __rcu *rep;
	struct labcx_sink __rcu *sink;

	/* While the VF has this driver. */
	struct pci_dev *pdev;
	struct devlink *devlink;
	bool has_vnet;		/* enable_vnet is registered */

	/* While that is loaded: as its parameters have it. */
	struct net_device __rcu *netdev;
	struct auxiliary_device *eth;
	struct auxiliary_device *vnet;
};

struct labcx {
	struct pci_dev *pdev;
	struct net_device *uplink;
	struct net_device *wire;
	struct devlink_port port;

	/* Under the devlink instance's lock. */
	enum devlink_eswitch_mode mode;
	enum devlink_eswitch_encap_mode encap;
	bool smfs;
	int num_vfs;

	/* What of a bond its uplink is in; under RTNL. */
	struct list_head in_lags;
	struct net_device *bond;
	enum netdev_lag_tx_type tx_type;
	struct dentry *debugfs;

	struct netdev_phys_item_id switch_id;
	atomic_t flows;
	spinlock_t rules_lock;	/* for who changes the rules of a port */
	struct labcx_vf vfs[LABCX_MAX_VFS];
};

/* A netdev's private part. */
struct labcx_netdev {
	struct net_device *dev;
	struct labcx *card;
	enum labcx_kind kind;
	struct labcx_vf *vf;	/* of LABCX_REP and LABCX_VF */

	/* Of a port of the switch: what "hardware" does with what enters by it. */
	struct list_head rules;
	atomic64_t hw_rx_packets;
	atomic64_t hw_rx_bytes;
	atomic64_t hw_tx_packets;
	atomic64_t hw_tx_bytes;
};

/* What a rule can look at. */
struct labcx_key {
	struct flow_dissector_key_control control;
	struct flow_dissector_key_basic basic;
	struct flow_dissector_key_eth_addrs eth;
	struct flow_dissector_key_vlan vlan;
	struct flow_dissector_key_ipv4_addrs ipv4;
	struct flow_dissector_key_ipv6_addrs ipv6;
	struct flow_dissector_key_ports ports;
};

#define LABCX_MAX_OUTPUTS	32

/* A flower rule that the card has taken. */
struct labcx_rule {
	struct list_head list;
	struct rcu_head rcu;
	struct labcx_netdev *port;
	unsigned long cookie;
	u32 prio;
	struct labcx_key key;
	struct labcx_key mask;
	int outputs;		/* none: drop */
	bool conntrack;		/* to the kernel's conntrack: nothing is forwarded */
	struct labcx_netdev *out[LABCX_MAX_OUTPUTS];
	atomic64_t packets;
	atomic64_t bytes;
	u64 told_packets;
	u64 told_bytes;
	unsigned long lastuse;
};

/* What a VF's driver makes of it, as mlx5 does: labcx_vdpa binds to "vnet". */
struct labcx_adev {
	struct auxiliary_device adev;
	struct labcx_vf *vf;
};

/* knobs.c: what the card refuses and where it is slow, by module parameters. */
extern int fail_switchdev;
extern bool refuse_bound;
extern bool refuse_without_vfs;
extern bool refuse_with_vfs;
extern bool refuse_offloaded;
extern bool refuse_steering;
extern bool reject_tc;
extern bool ignore_mac;
extern bool hold_lag;
extern bool no_vnet;
extern bool refuse_reload;
extern int fail_reload;
void labcx_pause_numvfs(void);
void labcx_pause_switch(void);

/* eswitch.c */
extern const struct devlink_ops labcx_devlink_ops;
int labcx_info_get(struct devlink *devlink, struct devlink_info_req *req,
		   struct netlink_ext_ack *extack);
int labcx_add_reps(struct labcx *card, int num_vfs, struct netlink_ext_ack *extack);
void labcx_remove_reps(struct labcx *card);

/* param.c */
int labcx_register_params(struct labcx *card);
void labcx_unregister_params(struct labcx *card);

/* lag.c */
int labcx_lag_init(void);
void labcx_lag_exit(void);
void labcx_lag_add(struct labcx *card);
void labcx_lag_remove(struct labcx *card);

/* netdev.c */
struct net_device *labcx_netdev_create(struct labcx *card, enum labcx_kind kind,
				       struct labcx_vf *vf);
void labcx_netdev_destroy(struct net_device *dev);

/* Under RCU: a packet leaves the switch by a port. */
void labcx_deliver(struct labcx_netdev *port, struct sk_buff *skb);
/* The port of this card that a netdev is; NULL if it is none. */
struct labcx_netdev *labcx_port(struct labcx *card, struct net_device *dev);

/* forward.c */
struct flow_match;
void labcx_forward_init(void);
bool labcx_forward(struct labcx_netdev *port, struct sk_buff *skb);
void labcx_forget_port(struct labcx_netdev *gone);
int labcx_rule_parse_match(struct labcx_rule *rule, const struct flow_match *match,
			   struct netlink_ext_ack *extack);
struct labcx_rule *labcx_rule_find(struct labcx_netdev *port, unsigned long cookie);
void labcx_rule_insert(struct labcx_rule *rule);
void labcx_rule_remove(struct labcx_rule *rule);

/* flower.c */
int labcx_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data);

/* function.c */
int labcx_vf_probe(struct pci_dev *pdev);
void labcx_vf_remove(struct pci_dev *pdev);

/* vf.c */
int labcx_set_vf_mac(struct net_device *dev, int index, u8 *mac);
int labcx_set_vf_trust(struct net_device *dev, int index, bool trust);
int labcx_set_vf_spoofchk(struct net_device *dev, int index, bool spoofchk);
int labcx_get_vf_config(struct net_device *dev, int index, struct ifla_vf_info *info);

/* nv.c */
void labcx_apply_nv(struct pci_dev *pdev);

/* Exported to labcx_vdpa. */
void labcx_vf_set_sink(struct labcx_vf *vf, struct labcx_sink *sink);
void labcx_vf_send(struct labcx_vf *vf, struct sk_buff *skb);

#endif
