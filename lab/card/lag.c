// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bonds of uplinks "in hardware": a state file for each card, below the
 * directory that mlx5 uses, debugfs/mlx5/ADDRESS/lag/state.
 *
 * The rules are those of mlx5's lag.c: both uplinks and nothing else in one
 * bond, whose mode is active-backup or sends by a hash, and both eswitches in
 * switchdev mode (mlx5_handle_changeupper_event, mlx5_lag_check_prereq). Here
 * the two may be on different cards. As there, the mode of an eswitch that is
 * switched under a bond is looked at anew.
 */
#include <linux/debugfs.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/seq_file.h>

#include "labcx.h"

#define PORTS	2

static struct dentry *root;
static LIST_HEAD(cards);
static DEFINE_MUTEX(cards_lock);	/* within RTNL where that is held */

static bool may_bond(struct labcx *card)
{
	return card->bond && card->mode == DEVLINK_ESWITCH_MODE_SWITCHDEV &&
	       (card->tx_type == NETDEV_LAG_TX_TYPE_ACTIVEBACKUP ||
		card->tx_type == NETDEV_LAG_TX_TYPE_HASH);
}

static int state_show(struct seq_file *file, void *priv)
{
	struct labcx *card = file->private;
	struct labcx *other;
	int ports = 0;

	mutex_lock(&cards_lock);
	list_for_each_entry(other, &cards, in_lags)
		if (other->bond == card->bond && may_bond(other))
			ports++;
	mutex_unlock(&cards_lock);
	seq_printf(file, "%s\n", ports == PORTS && may_bond(card) && !hold_lag ?
		   "active" : "disabled");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int netdev_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct netdev_notifier_changeupper_info *info = ptr;
	struct netdev_lag_upper_info *lag;
	struct labcx *card;

	if (event != NETDEV_CHANGEUPPER || !netif_is_lag_master(info->upper_dev))
		return NOTIFY_DONE;
	lag = info->upper_info;
	mutex_lock(&cards_lock);
	list_for_each_entry(card, &cards, in_lags) {
		if (card->uplink != dev)
			continue;
		card->bond = info->linking ? info->upper_dev : NULL;
		card->tx_type = info->linking && lag ? lag->tx_type : NETDEV_LAG_TX_TYPE_UNKNOWN;
	}
	mutex_unlock(&cards_lock);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = {
	.notifier_call = netdev_event,
};

void labcx_lag_add(struct labcx *card)
{
	struct dentry *directory = debugfs_create_dir(pci_name(card->pdev), root);

	card->debugfs = directory;
	debugfs_create_file("state", 0444, debugfs_create_dir("lag", directory), card, &state_fops);
	mutex_lock(&cards_lock);
	list_add_tail(&card->in_lags, &cards);
	mutex_unlock(&cards_lock);
}

void labcx_lag_remove(struct labcx *card)
{
	mutex_lock(&cards_lock);
	list_del(&card->in_lags);
	mutex_unlock(&cards_lock);
	debugfs_remove_recursive(card->debugfs);
}

int labcx_lag_init(void)
{
	int err;

	root = debugfs_create_dir("mlx5", NULL);
	err = register_netdevice_notifier(&notifier);
	if (err)
		debugfs_remove_recursive(root);
	return err;
}

void labcx_lag_exit(void)
{
	unregister_netdevice_notifier(&notifier);
	debugfs_remove_recursive(root);
}
