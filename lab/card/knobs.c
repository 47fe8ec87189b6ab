// SPDX-License-Identifier: GPL-2.0-only
/*
 * Knobs: what the card refuses, where it is slow and what it forgets, in
 * /sys/module/labcx/parameters.
 */
#include <linux/delay.h>
#include <linux/module.h>

#include "labcx.h"

#define KNOB(name, type, description)		\
	module_param(name, type, 0644);		\
	MODULE_PARM_DESC(name, description)

int fail_switchdev;
KNOB(fail_switchdev, int, "errno with which switchdev mode fails, 0 for none");
bool refuse_bound;
KNOB(refuse_bound, bool, "refuse switchdev mode while a VF has a driver");
bool refuse_without_vfs;
KNOB(refuse_without_vfs, bool, "refuse switchdev mode without VFs, as mlx5 before Linux 5.7");
bool refuse_with_vfs;
KNOB(refuse_with_vfs, bool, "refuse every change of the mode while there are VFs, as ice");
bool refuse_offloaded;
KNOB(refuse_offloaded, bool, "refuse legacy mode while rules are offloaded");
bool refuse_steering;
KNOB(refuse_steering, bool, "have no software managed steering");
bool reject_tc;
KNOB(reject_tc, bool, "refuse flower rules, which then show not_in_hw");
bool ignore_mac;
KNOB(ignore_mac, bool, "a probed VF takes a random MAC, whatever it was given");
bool hold_lag;
KNOB(hold_lag, bool, "bonds of uplinks do not become active in hardware");
bool no_vnet;
KNOB(no_vnet, bool, "a probed VF has no enable_vnet, as with firmware that emulates no virtio queues");
bool refuse_reload;
KNOB(refuse_reload, bool, "refuse the reload of a VF, as during a firmware reset");
int fail_reload;
KNOB(fail_reload, int, "errno with which a reloaded VF does not come up again, 0 for none");

static int numvfs_ms;
KNOB(numvfs_ms, int, "milliseconds that a write to sriov_numvfs takes");
static bool hold_numvfs;
KNOB(hold_numvfs, bool, "a write to sriov_numvfs does not return while this is set");
static int switch_ms;
KNOB(switch_ms, int, "milliseconds that a change of the mode takes");

/* In an uninterruptible sleep, like a driver that waits for its firmware. */
void labcx_pause_numvfs(void)
{
	msleep(READ_ONCE(numvfs_ms));
	while (READ_ONCE(hold_numvfs))
		msleep(20);
}

void labcx_pause_switch(void)
{
	msleep(READ_ONCE(switch_ms));
}
