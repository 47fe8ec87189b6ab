// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the card's firmware keeps over power cycles, as far as it shows here:
 * how many VFs the card has. The stand-in for mstconfig (lab/firmware) writes it
 * to the module's parameter "nv", as 0000:01:00.0=4, and it holds from the next
 * probe on.
 */
#include <linux/module.h>

#include "labcx.h"

#define LABCX_MAX_CARDS	8

static struct {
	char address[16];
	u16 vfs;
} kept[LABCX_MAX_CARDS];
static DEFINE_MUTEX(kept_lock);

static int keep(const char *address, u16 vfs)
{
	int i;

	for (i = 0; i < LABCX_MAX_CARDS; i++) {
		if (kept[i].address[0] && strcmp(kept[i].address, address))
			continue;
		strscpy(kept[i].address, address, sizeof(kept[i].address));
		kept[i].vfs = vfs;
		return 0;
	}
	return -ENOSPC;
}

/* ADDRESS=VFS, several of them with commas between. */
static int set_nv(const char *val, const struct kernel_param *kp)
{
	char *text, *rest, *entry;
	int err = 0;

	text = kstrdup(val, GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	rest = strim(text);
	mutex_lock(&kept_lock);
	while (!err && (entry = strsep(&rest, ","))) {
		char *address = strsep(&entry, "=");
		u16 vfs;

		err = entry ? kstrtou16(entry, 0, &vfs) : -EINVAL;
		if (!err)
			err = keep(address, vfs);
	}
	mutex_unlock(&kept_lock);
	kfree(text);
	return err;
}

static int get_nv(char *buffer, const struct kernel_param *kp)
{
	int length = 0;
	int i;

	mutex_lock(&kept_lock);
	for (i = 0; i < LABCX_MAX_CARDS && kept[i].address[0]; i++)
		length += scnprintf(buffer + length, PAGE_SIZE - length, "%s%s=%u",
				    i ? "," : "", kept[i].address, kept[i].vfs);
	mutex_unlock(&kept_lock);
	return length + scnprintf(buffer + length, PAGE_SIZE - length, "\n");
}

static const struct kernel_param_ops nv_ops = { .set = set_nv, .get = get_nv };
module_param_cb(nv, &nv_ops, NULL, 0644);
MODULE_PARM_DESC(nv, "VFs that a card has from its next probe on: ADDRESS=VFS,...");

/* A card cannot have more VFs than its capability says. */
static u16 most_vfs(struct pci_dev *pdev)
{
	int capability = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_SRIOV);
	u16 vfs = 0;

	if (capability)
		pci_read_config_word(pdev, capability + PCI_SRIOV_TOTAL_VF, &vfs);
	return vfs;
}

/* Shows the VFs that the firmware allows as sriov_totalvfs. */
void labcx_apply_nv(struct pci_dev *pdev)
{
	u16 vfs = most_vfs(pdev);
	int i;

	mutex_lock(&kept_lock);
	for (i = 0; i < LABCX_MAX_CARDS; i++)
		if (!strcmp(kept[i].address, pci_name(pdev)))
			vfs = min(vfs, kept[i].vfs);
	mutex_unlock(&kept_lock);
	if (pci_sriov_set_totalvfs(pdev, vfs))
		pci_warn(pdev, "cannot allow %u VFs\n", vfs);
}
