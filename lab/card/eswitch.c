// SPDX-License-Identifier: GPL-2.0-only
/*
 * devlink: the eswitch's modes, the representors that come and go with them,
 * the VF ports' functions, and what the card says about itself.
 */
#include "labcx.h"

static struct labcx_vf *vf_of_port(struct devlink_port *port)
{
	return container_of(port, struct labcx_vf, port);
}

static int port_fn_hw_addr_get(struct devlink_port *port, u8 *addr, int *len,
			       struct netlink_ext_ack *extack)
{
	ether_addr_copy(addr, vf_of_port(port)->mac);
	*len = ETH_ALEN;
	return 0;
}

static int port_fn_hw_addr_set(struct devlink_port *port, const u8 *addr, int len,
			       struct netlink_ext_ack *extack)
{
	if (is_multicast_ether_addr(addr))
		return -EINVAL;
	ether_addr_copy(vf_of_port(port)->mac, addr);
	return 0;
}

static const struct devlink_port_ops vf_port_ops = {
	.port_fn_hw_addr_get = port_fn_hw_addr_get,
	.port_fn_hw_addr_set = port_fn_hw_addr_set,
};

static int add_rep(struct labcx_vf *vf)
{
	struct devlink_port_attrs attrs = {
		.flavour = DEVLINK_PORT_FLAVOUR_PCI_VF,
		.switch_id = vf->card->switch_id,
		.pci_vf.vf = vf->index,
	};
	struct net_device *rep;
	int err;

	memset(&vf->port, 0, sizeof(vf->port));
	devlink_port_attrs_set(&vf->port, &attrs);
	err = devl_port_register_with_ops(priv_to_devlink(vf->card), &vf->port,
					  vf->index + 1, &vf_port_ops);
	if (err)
		return err;

	err = devl_rate_leaf_create(&vf->port, vf, NULL);
	if (err)
		goto err_port;
	vf->tx_share = 0;
	vf->tx_max = 0;

	rep = labcx_netdev_create(vf->card, LABCX_REP, vf);
	if (IS_ERR(rep)) {
		err = PTR_ERR(rep);
		goto err_rate;
	}
	rcu_assign_pointer(vf->rep, rep);
	return 0;

err_rate:
	devl_rate_leaf_destroy(&vf->port);
err_port:
	devl_port_unregister(&vf->port);
	return err;
}

static void remove_rep(struct labcx_vf *vf)
{
	struct net_device *rep = rcu_dereference_protected(vf->rep, true);

	if (!rep)
		return;
	RCU_INIT_POINTER(vf->rep, NULL);
	synchronize_net();
	labcx_netdev_destroy(rep);
	devl_rate_leaf_destroy(&vf->port);
	devl_port_unregister(&vf->port);
}

/* Under the devlink lock. */
void labcx_remove_reps(struct labcx *card)
{
	int i;

	for (i = 0; i < LABCX_MAX_VFS; i++)
		remove_rep(&card->vfs[i]);
}

/* Under the devlink lock; all of them or none. */
int labcx_add_reps(struct labcx *card, int num_vfs, struct netlink_ext_ack *extack)
{
	int err;
	int i;

	for (i = 0; i < num_vfs; i++) {
		err = add_rep(&card->vfs[i]);
		if (err) {
			NL_SET_ERR_MSG_MOD(extack, "Failed to add a VF representor");
			labcx_remove_reps(card);
			return err;
		}
	}
	return 0;
}

static bool any_vf_bound(struct labcx *card)
{
	int i;

	for (i = 0; i < card->num_vfs; i++)
		if (READ_ONCE(card->vfs[i].devlink))
			return true;
	return false;
}

static int enter_switchdev(struct labcx *card, struct netlink_ext_ack *extack)
{
	if (fail_switchdev) {
		/* The words of mlx5's esw_offloads_start(). */
		NL_SET_ERR_MSG_MOD(extack, "Failed setting eswitch to offloads");
		return -abs(fail_switchdev);
	}
	if (refuse_bound && any_vf_bound(card)) {
		NL_SET_ERR_MSG_MOD(extack, "Can't change mode, E-Switch is busy");
		return -EBUSY;
	}
	if (refuse_without_vfs && !card->num_vfs) {
		/* esw_offloads_start() before Linux 5.7. */
		NL_SET_ERR_MSG_MOD(extack, "Can't set offloads mode, SRIOV legacy not enabled");
		return -EINVAL;
	}
	return labcx_add_reps(card, card->num_vfs, extack);
}

static int leave_switchdev(struct labcx *card, struct netlink_ext_ack *extack)
{
	if (refuse_offloaded && atomic_read(&card->flows)) {
		NL_SET_ERR_MSG_MOD(extack, "Can't change mode, E-Switch is busy");
		return -EBUSY;
	}
	labcx_remove_reps(card);
	return 0;
}

static int mode_get(struct devlink *devlink, u16 *mode)
{
	struct labcx *card = devlink_priv(devlink);

	*mode = card->mode;
	return 0;
}

static int mode_set(struct devlink *devlink, u16 mode, struct netlink_ext_ack *extack)
{
	struct labcx *card = devlink_priv(devlink);
	int err = 0;

	if (mode == card->mode)
		return 0;
	if (refuse_with_vfs && card->num_vfs) {
		/* ice_eswitch_mode_set() */
		NL_SET_ERR_MSG_MOD(extack,
				   "Changing eswitch mode is allowed only if there is no VFs created");
		return -EOPNOTSUPP;
	}
	labcx_pause_switch();
	switch (mode) {
	case DEVLINK_ESWITCH_MODE_SWITCHDEV:
		err = enter_switchdev(card, extack);
		break;
	case DEVLINK_ESWITCH_MODE_LEGACY:
		err = leave_switchdev(card, extack);
		break;
	default:
		return -EINVAL;
	}
	if (!err)
		card->mode = mode;
	return err;
}

static int inline_mode_get(struct devlink *devlink, u8 *mode)
{
	*mode = DEVLINK_ESWITCH_INLINE_MODE_NONE;
	return 0;
}

/* Cards since ConnectX-5 need no inline headers, and mlx5 lets nobody set any. */
static int inline_mode_set(struct devlink *devlink, u8 mode, struct netlink_ext_ack *extack)
{
	if (mode == DEVLINK_ESWITCH_INLINE_MODE_NONE)
		return 0;
	NL_SET_ERR_MSG_MOD(extack, "Inline mode can't be set");
	return -EOPNOTSUPP;
}

static int encap_mode_get(struct devlink *devlink, enum devlink_eswitch_encap_mode *mode)
{
	struct labcx *card = devlink_priv(devlink);

	*mode = card->encap;
	return 0;
}

static int encap_mode_set(struct devlink *devlink, enum devlink_eswitch_encap_mode mode,
			  struct netlink_ext_ack *extack)
{
	struct labcx *card = devlink_priv(devlink);

	if (card->mode != DEVLINK_ESWITCH_MODE_LEGACY && card->encap != mode &&
	    atomic_read(&card->flows)) {
		NL_SET_ERR_MSG_MOD(extack, "Can't set encapsulation when flows are configured");
		return -EOPNOTSUPP;
	}
	card->encap = mode;
	return 0;
}

#define BYTES_PER_MBPS	125000
#define LINK_SPEED_MBPS	100000

/* As mlx5's esw_qos_devlink_rate_to_mbps() refuses them. */
static int check_rate(u64 rate, struct netlink_ext_ack *extack)
{
	u64 mbps = div64_u64(rate, BYTES_PER_MBPS);

	if (mbps * BYTES_PER_MBPS != rate) {
		NL_SET_ERR_MSG_MOD(extack, "TX rate value not in link speed units of 1Mbps");
		return -EINVAL;
	}
	if (mbps > LINK_SPEED_MBPS) {
		NL_SET_ERR_MSG_MOD(extack, "TX rate value exceed link maximum speed");
		return -EINVAL;
	}
	return 0;
}

static int tx_share_set(struct devlink_rate *leaf, void *priv, u64 rate,
			struct netlink_ext_ack *extack)
{
	struct labcx_vf *vf = priv;
	int err = check_rate(rate, extack);

	if (!err)
		vf->tx_share = rate;
	return err;
}

static int tx_max_set(struct devlink_rate *leaf, void *priv, u64 rate,
		      struct netlink_ext_ack *extack)
{
	struct labcx_vf *vf = priv;
	int err = check_rate(rate, extack);

	if (!err)
		vf->tx_max = rate;
	return err;
}

int labcx_info_get(struct devlink *devlink, struct devlink_info_req *req,
		   struct netlink_ext_ack *extack)
{
	return devlink_info_version_fixed_put(req, "fw.psid", LABCX_PSID) ?:
	       devlink_info_version_running_put(req, "fw.version", LABCX_FW) ?:
	       devlink_info_version_stored_put(req, "fw.version", LABCX_FW);
}

const struct devlink_ops labcx_devlink_ops = {
	.eswitch_mode_get = mode_get,
	.eswitch_mode_set = mode_set,
	.eswitch_inline_mode_get = inline_mode_get,
	.eswitch_inline_mode_set = inline_mode_set,
	.eswitch_encap_mode_get = encap_mode_get,
	.eswitch_encap_mode_set = encap_mode_set,
	.rate_leaf_tx_share_set = tx_share_set,
	.rate_leaf_tx_max_set = tx_max_set,
	.info_get = labcx_info_get,
};
