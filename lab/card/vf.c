// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs: their properties, set through the PF, and the VF function's own driver.
 */
#include <linux/slab.h>

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

static void release_vnet(struct device *dev)
{
	kfree(container_of(dev, struct labcx_vnet, adev.dev));
}

/* The device for labcx_vdpa, as mlx5 has one of its own on the auxiliary bus. */
static int add_vnet(struct labcx_vf *vf)
{
	struct labcx_vnet *vnet;
	int err;

	vnet = kzalloc(sizeof(*vnet), GFP_KERNEL);
	if (!vnet)
		return -ENOMEM;
	vnet->vf = vf;
	vnet->adev.name = "vnet";
	vnet->adev.id = pci_dev_id(vf->pdev);
	vnet->adev.dev.parent = &vf->pdev->dev;
	vnet->adev.dev.release = release_vnet;

	err = auxiliary_device_init(&vnet->adev);
	if (err) {
		kfree(vnet);
		return err;
	}
	err = auxiliary_device_add(&vnet->adev);
	if (err) {
		auxiliary_device_uninit(&vnet->adev);
		return err;
	}
	vf->vnet = &vnet->adev;
	return 0;
}

static void remove_vnet(struct labcx_vf *vf)
{
	auxiliary_device_delete(vf->vnet);
	auxiliary_device_uninit(vf->vnet);
	vf->vnet = NULL;
}

int labcx_vf_probe(struct pci_dev *pdev)
{
	struct labcx *card = pci_get_drvdata(pci_physfn(pdev));
	int index = pci_iov_vf_id(pdev);
	struct net_device *netdev;
	struct labcx_vf *vf;
	int err;

	if (!card || index < 0 || index >= LABCX_MAX_VFS)
		return -ENODEV;
	vf = &card->vfs[index];
	vf->pdev = pdev;

	err = add_vnet(vf);
	if (err)
		return err;
	netdev = labcx_netdev_create(card, LABCX_VF, vf);
	if (IS_ERR(netdev)) {
		remove_vnet(vf);
		return PTR_ERR(netdev);
	}
	rcu_assign_pointer(vf->netdev, netdev);
	pci_set_drvdata(pdev, vf);
	return 0;
}

void labcx_vf_remove(struct pci_dev *pdev)
{
	struct labcx_vf *vf = pci_get_drvdata(pdev);
	struct net_device *netdev = rcu_dereference_protected(vf->netdev, true);

	remove_vnet(vf);
	RCU_INIT_POINTER(vf->netdev, NULL);
	synchronize_net();
	labcx_netdev_destroy(netdev);
	pci_set_drvdata(pdev, NULL);
}
