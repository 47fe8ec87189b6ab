// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VF's own driver: its devlink instance, and what that makes of the VF.
 *
 * As mlx5's (devlink.c, dev.c) it has the parameters enable_eth and
 * enable_vnet, which count from the next reload on: an auxiliary device "eth"
 * and a netdev, and an auxiliary device "vnet" for labcx_vdpa. There is no RDMA.
 */
#include <linux/slab.h>

#include "labcx.h"

static struct labcx_vf *vf_of(struct devlink *devlink)
{
	return *(struct labcx_vf **)devlink_priv(devlink);
}

static void release_adev(struct device *dev)
{
	kfree(container_of(dev, struct labcx_adev, adev.dev));
}

static struct auxiliary_device *add_adev(struct labcx_vf *vf, const char *name)
{
	struct labcx_adev *made;
	int err;

	made = kzalloc(sizeof(*made), GFP_KERNEL);
	if (!made)
		return ERR_PTR(-ENOMEM);
	made->vf = vf;
	made->adev.name = name;
	made->adev.id = pci_dev_id(vf->pdev);
	made->adev.dev.parent = &vf->pdev->dev;
	made->adev.dev.release = release_adev;

	err = auxiliary_device_init(&made->adev);
	if (err) {
		kfree(made);
		return ERR_PTR(err);
	}
	err = auxiliary_device_add(&made->adev);
	if (err) {
		auxiliary_device_uninit(&made->adev);
		return ERR_PTR(err);
	}
	return &made->adev;
}

static void remove_adev(struct auxiliary_device *adev)
{
	if (!adev)
		return;
	auxiliary_device_delete(adev);
	auxiliary_device_uninit(adev);
}

static int add_eth(struct labcx_vf *vf)
{
	struct auxiliary_device *eth = add_adev(vf, "eth");
	struct net_device *netdev;

	if (IS_ERR(eth))
		return PTR_ERR(eth);
	netdev = labcx_netdev_create(vf->card, LABCX_VF, vf);
	if (IS_ERR(netdev)) {
		remove_adev(eth);
		return PTR_ERR(netdev);
	}
	vf->eth = eth;
	rcu_assign_pointer(vf->netdev, netdev);
	return 0;
}

static void remove_eth(struct labcx_vf *vf)
{
	struct net_device *netdev = rcu_dereference_protected(vf->netdev, true);

	if (!netdev)
		return;
	RCU_INIT_POINTER(vf->netdev, NULL);
	synchronize_net();
	labcx_netdev_destroy(netdev);
	remove_adev(vf->eth);
	vf->eth = NULL;
}

static int add_vnet(struct labcx_vf *vf)
{
	struct auxiliary_device *vnet = add_adev(vf, "vnet");

	if (IS_ERR(vnet))
		return PTR_ERR(vnet);
	vf->vnet = vnet;
	return 0;
}

static void remove_vnet(struct labcx_vf *vf)
{
	remove_adev(vf->vnet);
	vf->vnet = NULL;
}

static bool is_enabled(struct labcx_vf *vf, u32 id)
{
	union devlink_param_value value;

	return !devl_param_driverinit_value_get(vf->devlink, id, &value) && value.vbool;
}

/* Under the instance's lock, as what follows. */
static void unload(struct labcx_vf *vf)
{
	remove_vnet(vf);
	remove_eth(vf);
}

static int load(struct labcx_vf *vf)
{
	int err = 0;

	if (is_enabled(vf, DEVLINK_PARAM_GENERIC_ID_ENABLE_ETH))
		err = add_eth(vf);
	if (!err && vf->has_vnet && is_enabled(vf, DEVLINK_PARAM_GENERIC_ID_ENABLE_VNET))
		err = add_vnet(vf);
	if (err)
		unload(vf);
	return err;
}

static int reload_down(struct devlink *devlink, bool netns_change,
		       enum devlink_reload_action action, enum devlink_reload_limit limit,
		       struct netlink_ext_ack *extack)
{
	if (refuse_reload) {
		NL_SET_ERR_MSG_MOD(extack, "Can't reload during firmware reset");
		return -EBUSY;
	}
	unload(vf_of(devlink));
	return 0;
}

static int reload_up(struct devlink *devlink, enum devlink_reload_action action,
		     enum devlink_reload_limit limit, u32 *actions_performed,
		     struct netlink_ext_ack *extack)
{
	*actions_performed = BIT(action);
	if (fail_reload)
		return -abs(fail_reload);
	return load(vf_of(devlink));
}

static const struct devlink_ops vf_devlink_ops = {
	.info_get = labcx_info_get,
	.reload_actions = BIT(DEVLINK_RELOAD_ACTION_DRIVER_REINIT),
	.reload_down = reload_down,
	.reload_up = reload_up,
};

static const struct devlink_param eth_params[] = {
	DEVLINK_PARAM_GENERIC(ENABLE_ETH, BIT(DEVLINK_PARAM_CMODE_DRIVERINIT), NULL, NULL, NULL),
};

static const struct devlink_param vnet_params[] = {
	DEVLINK_PARAM_GENERIC(ENABLE_VNET, BIT(DEVLINK_PARAM_CMODE_DRIVERINIT), NULL, NULL, NULL),
};

static int register_params(struct labcx_vf *vf)
{
	union devlink_param_value on = { .vbool = true };
	int err;

	err = devl_params_register(vf->devlink, eth_params, ARRAY_SIZE(eth_params));
	if (err)
		return err;
	devl_param_driverinit_value_set(vf->devlink, DEVLINK_PARAM_GENERIC_ID_ENABLE_ETH, on);
	if (!vf->has_vnet)
		return 0;

	err = devl_params_register(vf->devlink, vnet_params, ARRAY_SIZE(vnet_params));
	if (err) {
		devl_params_unregister(vf->devlink, eth_params, ARRAY_SIZE(eth_params));
		return err;
	}
	devl_param_driverinit_value_set(vf->devlink, DEVLINK_PARAM_GENERIC_ID_ENABLE_VNET, on);
	return 0;
}

static void unregister_params(struct labcx_vf *vf)
{
	if (vf->has_vnet)
		devl_params_unregister(vf->devlink, vnet_params, ARRAY_SIZE(vnet_params));
	devl_params_unregister(vf->devlink, eth_params, ARRAY_SIZE(eth_params));
}

int labcx_vf_probe(struct pci_dev *pdev)
{
	struct labcx *card = pci_get_drvdata(pci_physfn(pdev));
	int index = pci_iov_vf_id(pdev);
	struct devlink *devlink;
	struct labcx_vf *vf;
	int err;

	if (!card || index < 0 || index >= LABCX_MAX_VFS)
		return -ENODEV;
	vf = &card->vfs[index];

	devlink = devlink_alloc(&vf_devlink_ops, sizeof(struct labcx_vf *), &pdev->dev);
	if (!devlink)
		return -ENOMEM;
	*(struct labcx_vf **)devlink_priv(devlink) = vf;
	vf->pdev = pdev;
	vf->has_vnet = !no_vnet;
	WRITE_ONCE(vf->devlink, devlink);
	pci_set_drvdata(pdev, vf);

	devl_lock(devlink);
	err = register_params(vf);
	if (err)
		goto err_free;
	err = load(vf);
	if (err)
		goto err_params;
	devl_register(devlink);
	devl_unlock(devlink);
	return 0;

err_params:
	unregister_params(vf);
err_free:
	devl_unlock(devlink);
	pci_set_drvdata(pdev, NULL);
	WRITE_ONCE(vf->devlink, NULL);
	devlink_free(devlink);
	return err;
}

void labcx_vf_remove(struct pci_dev *pdev)
{
	struct labcx_vf *vf = pci_get_drvdata(pdev);
	struct devlink *devlink = vf->devlink;

	devl_lock(devlink);
	devl_unregister(devlink);
	unload(vf);
	unregister_params(vf);
	devl_unlock(devlink);

	pci_set_drvdata(pdev, NULL);
	WRITE_ONCE(vf->devlink, NULL);
	devlink_free(devlink);
}
