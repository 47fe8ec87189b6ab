/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A vDPA driver without hardware, for the daemon tests of dpdk-vdpa's supervisor.
 *
 * Linked into the real example program. `--vdev vdpa_stand_in0,pci=0000:43:00.2` gives it
 * one vDPA device that is called 0000:43:00.2: `list`, `create` and `stats` work, the vhost-user
 * socket is real, and no packet ever moves.
 *
 * libdpdk-dev of Debian 12 ships no driver headers, so the few structures a driver needs are
 * declared here, as they stand in DPDK 22.11 (ABI 23): lib/vhost/vdpa_driver.h,
 * lib/eal/include/dev_driver.h, drivers/bus/vdev/bus_vdev_driver.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <linux/virtio_net.h>

#include <rte_bus_vdev.h>
#include <rte_common.h>
#include <rte_devargs.h>
#include <rte_kvargs.h>
#include <rte_vdpa.h>
#include <rte_version.h>
#include <rte_vhost.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0) || RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
#error "the structures below are those of DPDK 22.11 (ABI 23)"
#endif

struct rte_driver {
	RTE_TAILQ_ENTRY(rte_driver) next;
	const char *name, *alias;
};

struct rte_device {
	RTE_TAILQ_ENTRY(rte_device) next;
	const char *name, *bus_info;
	const struct rte_driver *driver;
	const struct rte_bus *bus;
	int numa_node;
	struct rte_devargs *devargs;
};

struct rte_vdev_device {
	RTE_TAILQ_ENTRY(rte_vdev_device) next;
	struct rte_device device;
};

struct rte_vdev_driver {
	RTE_TAILQ_ENTRY(rte_vdev_driver) next;
	struct rte_driver driver;
	int (*probe)(struct rte_vdev_device *);
	int (*remove)(struct rte_vdev_device *);
	int (*dma_map)(struct rte_vdev_device *, void *, uint64_t, size_t);
	int (*dma_unmap)(struct rte_vdev_device *, void *, uint64_t, size_t);
	uint32_t drv_flags;
};

struct rte_vdpa_dev_ops {
	int (*get_queue_num)(struct rte_vdpa_device *, uint32_t *);
	int (*get_features)(struct rte_vdpa_device *, uint64_t *);
	int (*get_protocol_features)(struct rte_vdpa_device *, uint64_t *);
	int (*dev_conf)(int vid);
	int (*dev_close)(int vid);
	int (*dev_cleanup)(int vid);
	int (*set_vring_state)(int vid, int vring, int state);
	int (*set_features)(int vid);
	int (*migration_done)(int vid);
	int (*get_vfio_group_fd)(int vid);
	int (*get_vfio_device_fd)(int vid);
	int (*get_notify_area)(int vid, int queue, uint64_t *offset, uint64_t *size);
	int (*get_stats_names)(struct rte_vdpa_device *, struct rte_vdpa_stat_name *, unsigned int);
	int (*get_stats)(struct rte_vdpa_device *, int queue, struct rte_vdpa_stat *, unsigned int);
	int (*reset_stats)(struct rte_vdpa_device *, int queue);
	int (*get_config)(int vid, uint8_t *, uint32_t size);
	int (*set_config)(int vid, uint8_t *, uint32_t offset, uint32_t size, uint32_t flags);
	int (*get_dev_type)(struct rte_vdpa_device *, uint32_t *type);
};

struct rte_vdpa_device *rte_vdpa_register_device(struct rte_device *, struct rte_vdpa_dev_ops *);
int rte_vdpa_unregister_device(struct rte_vdpa_device *);
void rte_vdev_register(struct rte_vdev_driver *);

#define QUEUE_PAIRS 16

/* The counters of mlx5's vDPA driver, by its names (drivers/vdpa/mlx5/mlx5_vdpa.c). */
static const char *const counters[] = {
	"received_descriptors", "completed_descriptors", "bad descriptor errors",
	"exceed max chain", "invalid buffer", "completion errors",
};

static int queue_num(struct rte_vdpa_device *dev, uint32_t *n)
{
	RTE_SET_USED(dev);
	*n = QUEUE_PAIRS;
	return 0;
}

static int features(struct rte_vdpa_device *dev, uint64_t *bits)
{
	RTE_SET_USED(dev);
	*bits = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_NET_F_MQ | 1ULL << VIRTIO_NET_F_MTU |
		1ULL << 30 /* VHOST_USER_F_PROTOCOL_FEATURES */;
	return 0;
}

static int protocol_features(struct rte_vdpa_device *dev, uint64_t *bits)
{
	RTE_SET_USED(dev);
	*bits = 1ULL << VHOST_USER_PROTOCOL_F_MQ | 1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK;
	return 0;
}

static int vid_ok(int vid)
{
	RTE_SET_USED(vid);
	return 0;
}

static int vring_ok(int vid, int vring, int state)
{
	RTE_SET_USED(vid), RTE_SET_USED(vring), RTE_SET_USED(state);
	return 0;
}

static int stats_names(struct rte_vdpa_device *dev, struct rte_vdpa_stat_name *names, unsigned int size)
{
	unsigned int i;

	RTE_SET_USED(dev);
	for (i = 0; names && i < RTE_DIM(counters) && i < size; i++)
		snprintf(names[i].name, sizeof(names[i].name), "%s", counters[i]);
	return RTE_DIM(counters);
}

/* Counter i of queue q is 100 * q + i: a test can tell a mixed-up answer. */
static int stats(struct rte_vdpa_device *dev, int queue, struct rte_vdpa_stat *values, unsigned int n)
{
	unsigned int i;

	RTE_SET_USED(dev);
	if (queue >= 2 * QUEUE_PAIRS)
		return -1;
	for (i = 0; i < RTE_DIM(counters) && i < n; i++) {
		values[i].id = i;
		values[i].value = 100 * queue + i;
	}
	return i;
}

static struct rte_vdpa_dev_ops ops = {
	.get_queue_num = queue_num,
	.get_features = features,
	.get_protocol_features = protocol_features,
	.dev_conf = vid_ok,
	.dev_close = vid_ok,
	.set_vring_state = vring_ok,
	.set_features = vid_ok,
	.get_stats_names = stats_names,
	.get_stats = stats,
};

static int rename_to(const char *key, const char *value, void *name)
{
	RTE_SET_USED(key);
	*(const char **)name = strdup(value);
	return *(const char **)name ? 0 : -1;
}

static int probe(struct rte_vdev_device *dev)
{
	struct rte_kvargs *args = rte_kvargs_parse(dev->device.devargs ? dev->device.devargs->args : "", NULL);
	int failed = !args || rte_kvargs_process(args, "pci", rename_to, &dev->device.name) < 0;

	rte_kvargs_free(args);
	return failed || !rte_vdpa_register_device(&dev->device, &ops) ? -1 : 0;
}

static int leave(struct rte_vdev_device *dev)
{
	struct rte_vdpa_device *vdpa = rte_vdpa_find_device_by_name(dev->device.name);

	return vdpa ? rte_vdpa_unregister_device(vdpa) : 0;
}

static struct rte_vdev_driver driver = {
	.driver = { .name = "vdpa_stand_in" },
	.probe = probe,
	.remove = leave,
};

RTE_INIT(vdpa_stand_in)
{
	rte_vdev_register(&driver);
}
