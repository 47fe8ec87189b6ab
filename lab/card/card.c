// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PCI driver: the card comes and goes, and VFs are created.
 */
#include <linux/module.h>

#include "labcx.h"

#define VENDOR_MELLANOX	0x15b3
#define DEVICE_PF	0x101d	/* ConnectX-6 Dx */
#define DEVICE_VF	0x101e	/* ConnectX family mlx5Gen VF */

/*
 * Shows the ids of the card that is played in sysfs. The device's own id must
 * go on matching the table below, for a later bind.
 */
static void show_ids(struct pci_dev *pdev, u16 device)
{
	pdev->vendor = VENDOR_MELLANOX;
	pdev->device = device;
	pdev->class = PCI_CLASS_NETWORK_ETHERNET << 8;
	pdev->subsystem_vendor = VENDOR_MELLANOX;
	pdev->subsystem_device = 0x0083;
}

static void show_vf_ids(struct pci_dev *pf)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (pdev->is_virtfn && pci_physfn(pdev) == pf)
			show_ids(pdev, DEVICE_VF);
}

static void disable_vfs(struct labcx *card)
{
	struct devlink *devlink = priv_to_devlink(card);

	/* VFs are unbound in here, and take the devlink lock for themselves. */
	pci_disable_sriov(card->pdev);

	devl_lock(devlink);
	labcx_remove_reps(card);
	card->num_vfs = 0;
	devl_unlock(devlink);
}

static int enable_vfs(struct labcx *card, int num_vfs)
{
	struct devlink *devlink = priv_to_devlink(card);
	int err = 0;
	int i;

	if (num_vfs > LABCX_MAX_VFS)
		return -ERANGE;

	/* As mlx5_sriov_enable() does: the eswitch first, then the functions. */
	devl_lock(devlink);
	for (i = 0; i < num_vfs; i++) {
		eth_zero_addr(card->vfs[i].mac);
		card->vfs[i].trust = false;
		card->vfs[i].spoofchk = false;
	}
	if (card->mode == DEVLINK_ESWITCH_MODE_SWITCHDEV)
		err = labcx_add_reps(card, num_vfs, NULL);
	if (!err)
		card->num_vfs = num_vfs;
	devl_unlock(devlink);
	if (err)
		return err;

	err = pci_enable_sriov(card->pdev, num_vfs);
	if (err) {
		disable_vfs(card);
		return err;
	}
	/* Also of VFs that were not probed, with sriov_drivers_autoprobe off. */
	show_vf_ids(card->pdev);
	return 0;
}

static int labcx_sriov_configure(struct pci_dev *pdev, int num_vfs)
{
	struct labcx *card = pci_get_drvdata(pdev);

	labcx_pause_numvfs();
	if (!num_vfs) {
		disable_vfs(card);
		return 0;
	}
	return enable_vfs(card, num_vfs) ?: num_vfs;
}

static int register_card(struct labcx *card)
{
	struct devlink_port_attrs attrs = {
		.flavour = DEVLINK_PORT_FLAVOUR_PHYSICAL,
		.switch_id = card->switch_id,
	};
	struct devlink *devlink = priv_to_devlink(card);
	int err;

	devlink_port_attrs_set(&card->port, &attrs);
	err = devl_port_register(devlink, &card->port, LABCX_UPLINK_PORT);
	if (err)
		return err;

	card->uplink = labcx_netdev_create(card, LABCX_UPLINK, NULL);
	if (IS_ERR(card->uplink)) {
		err = PTR_ERR(card->uplink);
		goto err_port;
	}
	card->wire = labcx_netdev_create(card, LABCX_WIRE, NULL);
	if (IS_ERR(card->wire)) {
		err = PTR_ERR(card->wire);
		goto err_uplink;
	}
	err = labcx_register_params(card);
	if (err)
		goto err_wire;
	labcx_lag_add(card);
	devl_register(devlink);
	return 0;

err_wire:
	labcx_netdev_destroy(card->wire);
err_uplink:
	labcx_netdev_destroy(card->uplink);
err_port:
	devl_port_unregister(&card->port);
	return err;
}

static void unregister_card(struct labcx *card)
{
	struct net_device *uplink = card->uplink;
	struct net_device *wire = card->wire;

	devl_unregister(priv_to_devlink(card));
	labcx_lag_remove(card);
	labcx_unregister_params(card);
	WRITE_ONCE(card->uplink, NULL);
	WRITE_ONCE(card->wire, NULL);
	synchronize_net();
	labcx_netdev_destroy(wire);
	labcx_netdev_destroy(uplink);
	devl_port_unregister(&card->port);
}

static int labcx_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct devlink *devlink;
	struct labcx *card;
	int err;
	int i;

	if (pdev->is_virtfn) {
		show_ids(pdev, DEVICE_VF);
		return labcx_vf_probe(pdev);
	}

	err = pci_enable_device(pdev);
	if (err)
		return err;
	show_ids(pdev, DEVICE_PF);
	labcx_apply_nv(pdev);

	devlink = devlink_alloc(&labcx_devlink_ops, sizeof(*card), &pdev->dev);
	if (!devlink) {
		err = -ENOMEM;
		goto err_disable;
	}
	card = devlink_priv(devlink);
	card->pdev = pdev;
	spin_lock_init(&card->rules_lock);
	card->mode = DEVLINK_ESWITCH_MODE_LEGACY;
	card->encap = DEVLINK_ESWITCH_ENCAP_MODE_BASIC;
	card->switch_id.id_len = 8;
	memcpy(card->switch_id.id, "labcx", 5);
	card->switch_id.id[6] = pdev->bus->number;
	card->switch_id.id[7] = pdev->devfn;
	for (i = 0; i < LABCX_MAX_VFS; i++) {
		card->vfs[i].card = card;
		card->vfs[i].index = i;
	}
	pci_set_drvdata(pdev, card);

	devl_lock(devlink);
	err = register_card(card);
	devl_unlock(devlink);
	if (err)
		goto err_free;
	pci_info(pdev, "pretend card of the lab, firmware version: %s\n", LABCX_FW);
	return 0;

err_free:
	pci_set_drvdata(pdev, NULL);
	devlink_free(devlink);
err_disable:
	pci_disable_device(pdev);
	return err;
}

static void labcx_remove(struct pci_dev *pdev)
{
	struct devlink *devlink;
	struct labcx *card;

	if (pdev->is_virtfn) {
		labcx_vf_remove(pdev);
		return;
	}
	card = pci_get_drvdata(pdev);
	devlink = priv_to_devlink(card);
	if (card->num_vfs)
		disable_vfs(card);

	devl_lock(devlink);
	labcx_remove_reps(card);
	unregister_card(card);
	devl_unlock(devlink);

	pci_set_drvdata(pdev, NULL);
	devlink_free(devlink);
	pci_disable_device(pdev);
}

/* Each function under its own ids and under the ones that it has once shown. */
static const struct pci_device_id labcx_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10c9) },	/* igb */
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10ca) },	/* igb VF */
	{ PCI_DEVICE(PCI_VENDOR_ID_REDHAT, 0x0010) },	/* nvme and its VFs */
	{ PCI_DEVICE(VENDOR_MELLANOX, 0x10ca) },	/* VFs have the PF's vendor */
	{ PCI_DEVICE(VENDOR_MELLANOX, 0x0010) },
	{ PCI_DEVICE(VENDOR_MELLANOX, DEVICE_PF) },
	{ PCI_DEVICE(VENDOR_MELLANOX, DEVICE_VF) },
	{ }
};
MODULE_DEVICE_TABLE(pci, labcx_ids);

static struct pci_driver labcx_driver = {
	.name = "mlx5_core",
	.id_table = labcx_ids,
	.probe = labcx_probe,
	.remove = labcx_remove,
	.sriov_configure = labcx_sriov_configure,
};

static int __init labcx_init(void)
{
	int err = labcx_lag_init();

	if (err)
		return err;
	labcx_forward_init();
	err = pci_register_driver(&labcx_driver);
	if (err)
		labcx_lag_exit();
	return err;
}
module_init(labcx_init);

static void __exit labcx_exit(void)
{
	pci_unregister_driver(&labcx_driver);
	labcx_lag_exit();
}
module_exit(labcx_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Pretend SR-IOV card with an eswitch, for a virtual machine");
