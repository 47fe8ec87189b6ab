// SPDX-License-Identifier: GPL-2.0-only
/*
 * devlink parameters: flow_steering_mode, with the checks and the words of
 * mlx5's fs_core.c.
 */
#include "labcx.h"

enum {
	LABCX_PARAM_STEERING = DEVLINK_PARAM_GENERIC_ID_MAX + 1,
};

static int steering_get(struct devlink *devlink, u32 id, struct devlink_param_gset_ctx *ctx)
{
	struct labcx *card = devlink_priv(devlink);

	strscpy(ctx->val.vstr, card->smfs ? "smfs" : "dmfs", sizeof(ctx->val.vstr));
	return 0;
}

static int steering_set(struct devlink *devlink, u32 id, struct devlink_param_gset_ctx *ctx,
			struct netlink_ext_ack *extack)
{
	struct labcx *card = devlink_priv(devlink);

	card->smfs = !strcmp(ctx->val.vstr, "smfs");
	return 0;
}

static int steering_validate(struct devlink *devlink, u32 id, union devlink_param_value val,
			     struct netlink_ext_ack *extack)
{
	struct labcx *card = devlink_priv(devlink);

	if (!strcmp(val.vstr, "dmfs"))
		return 0;
	if (strcmp(val.vstr, "smfs")) {
		NL_SET_ERR_MSG_MOD(extack,
				   "Bad parameter: supported values are [\"dmfs\", \"smfs\"]");
		return -EINVAL;
	}
	if (refuse_steering) {
		NL_SET_ERR_MSG_MOD(extack,
				   "Software managed steering is not supported by current device");
		return -EOPNOTSUPP;
	}
	if (card->mode == DEVLINK_ESWITCH_MODE_SWITCHDEV) {
		NL_SET_ERR_MSG_MOD(extack,
				   "Software managed steering is not supported when eswitch offloads enabled.");
		return -EOPNOTSUPP;
	}
	return 0;
}

static const struct devlink_param params[] = {
	DEVLINK_PARAM_DRIVER(LABCX_PARAM_STEERING, "flow_steering_mode",
			     DEVLINK_PARAM_TYPE_STRING, BIT(DEVLINK_PARAM_CMODE_RUNTIME),
			     steering_get, steering_set, steering_validate),
};

int labcx_register_params(struct labcx *card)
{
	return devl_params_register(priv_to_devlink(card), params, ARRAY_SIZE(params));
}

void labcx_unregister_params(struct labcx *card)
{
	devl_params_unregister(priv_to_devlink(card), params, ARRAY_SIZE(params));
}
