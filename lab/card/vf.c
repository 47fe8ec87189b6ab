// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs: their properties, set through the PF, and who besides their netdevs takes
 * their packets.
 */
#include "labcx.h"

static struct labcx_vf *vf_of(struct net_device *dev, int index)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	return index < priv->card->num_vfs ? &priv->card->vfs[index] : NULL;
}

/* In force when the VF is probed next. */
int labcx_set_vf_mac(struct net_device *dev, int index, u8 *mac)
{
	struct labcx_vf *vf = vf_of(dev, index);

	if (!vf || is_multicast_ether_addr(mac))
		return -EINVAL;
	ether_addr_copy(vf->mac, mac);
	return 0;
}

/* As mlx5_eswitch_set_vport_trust(): in legacy mode only. */
int labcx_set_vf_trust(struct net_device *dev, int index, bool trust)
{
	struct labcx_vf *vf = vf_of(dev, index);

	if (!vf)
		return -EINVAL;
	if (vf->card->mode != DEVLINK_ESWITCH_MODE_LEGACY)
		return -EOPNOTSUPP;
	vf->trust = trust;
	return 0;
}

/* As mlx5_eswitch_set_vport_spoofchk(): in legacy mode only. */
int labcx_set_vf_spoofchk(struct net_device *dev, int index, bool spoofchk)
{
	struct labcx_vf *vf = vf_of(dev, index);

	if (!vf)
		return -EINVAL;
	if (vf->card->mode != DEVLINK_ESWITCH_MODE_LEGACY)
		return -EOPNOTSUPP;
	vf->spoofchk = spoofchk;
	return 0;
}

int labcx_get_vf_config(struct net_device *dev, int index, struct ifla_vf_info *info)
{
	struct labcx_vf *vf = vf_of(dev, index);

	if (!vf)
		return -EINVAL;
	memset(info, 0, sizeof(*info));
	info->vf = index;
	ether_addr_copy(info->mac, vf->mac);
	info->trusted = vf->trust;
	info->spoofchk = vf->spoofchk;
	return 0;
}

/* A sink is gone when this returns: nobody is in its receive() any more. */
void labcx_vf_set_sink(struct labcx_vf *vf, struct labcx_sink *sink)
{
	rcu_assign_pointer(vf->sink, sink);
	if (!sink)
		synchronize_net();
}
EXPORT_SYMBOL_GPL(labcx_vf_set_sink);
