// SPDX-License-Identifier: GPL-2.0-only
/*
 * tc flower rules: taken or refused. A taken rule shows in_hw; the packets go
 * through tc in software all the same, which is why its counters are true.
 */
#include <linux/module.h>
#include <net/flow_offload.h>
#include <net/pkt_cls.h>

#include "labcx.h"

static bool reject_tc;
module_param(reject_tc, bool, 0644);
MODULE_PARM_DESC(reject_tc, "refuse flower rules, which then show not_in_hw");

static int add_rule(struct labcx *card, struct flow_cls_offload *rule)
{
	if (reject_tc) {
		NL_SET_ERR_MSG_MOD(rule->common.extack, "the lab's card is told to refuse flower rules");
		return -EOPNOTSUPP;
	}
	atomic_inc(&card->flows);
	return 0;
}

static int rule_callback(enum tc_setup_type type, void *data, void *cb_priv)
{
	struct labcx_netdev *priv = cb_priv;
	struct flow_cls_offload *rule = data;

	if (type != TC_SETUP_CLSFLOWER)
		return -EOPNOTSUPP;
	switch (rule->command) {
	case FLOW_CLS_REPLACE:
		if (!tc_can_offload(priv->dev))
			return -EOPNOTSUPP;
		return add_rule(priv->card, rule);
	case FLOW_CLS_DESTROY:
		atomic_dec(&priv->card->flows);
		return 0;
	case FLOW_CLS_STATS:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static LIST_HEAD(block_callbacks);

int labcx_setup_tc(struct net_device *dev, enum tc_setup_type type, void *data)
{
	struct labcx_netdev *priv = netdev_priv(dev);

	if (type != TC_SETUP_BLOCK)
		return -EOPNOTSUPP;
	return flow_block_cb_setup_simple(data, &block_callbacks, rule_callback,
					  priv, priv, true);
}
