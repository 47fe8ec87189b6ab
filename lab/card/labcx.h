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
 * other end of the cable. Forwarding is tc's and Open vSwitch's, in software,
 * also when a rule says in_hw.
 */
#ifndef LABCX_H
#define LABCX_H

#include <linux/auxiliary_bus.h>
#include <linux/etherdevice.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <net/devlink.h>

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

	struct devlink_port port;
	struct net_device __rcu *rep;
	struct labcx_sink __rcu *sink;

	/* While the VF has this driver. */
	struct pci_dev *pdev;
	struct net_device __rcu *netdev;
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
	int num_vfs;

	struct netdev_phys_item_id switch_id;
	atomic_t flows;
	struct labcx_vf vfs[LABCX_MAX_VFS];
};

/* A netdev's private part. */
struct labcx_netdev {
	struct net_device *dev;
	struct labcx *card;
	enum labcx_kind kind;
	struct labcx_vf *vf;	/* of LABCX_REP and LABCX_VF */
};

/* What labcx_vdpa binds to: one per probed VF. */
struct labcx_vnet {
	struct auxiliary_device adev;
	struct labcx_vf *vf;
};

/* eswitch.c */
extern const struct devlink_ops labcx_devlink_ops;
int labcx_add_reps(struct labcx *card, int num_vfs, struct netlink_ext_ack *extack);
void labcx_remove_reps(struct labcx *card);

/* netdev.c */
struct net_device *labcx_netdev_create(struct labcx *card, enum labcx_kind kind,
				       struct labcx_vf *vf);
void labcx_netdev_destroy(struct net_device *dev);

/* flower.c */
int labcx_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data);

/* vf.c */
int labcx_vf_probe(struct pci_dev *pdev);
void labcx_vf_remove(struct pci_dev *pdev);
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
