// SPDX-License-Identifier: GPL-2.0-only
/*
 * labcx_vdpa: what mlx5_vdpa is to mlx5_core. Each probed VF is a vDPA
 * management device; its vDPA device carries packets between a virtio driver
 * and the VF's representor.
 *
 * Rings, DMA mappings and the config operations are vdpa_sim's.
 */
#include <linux/module.h>
#include <linux/skbuff.h>
#include <uapi/linux/vdpa.h>
#include <uapi/linux/virtio_ids.h>
#include <uapi/linux/virtio_net.h>

#include "labcx.h"
#include "vdpa_sim.h"

#define MAX_PAIRS	16
#define MAX_FRAME	(ETH_HLEN + VLAN_HLEN + 9978)
#define MAX_WAITING	1000	/* packets for a guest that takes none */

#define FEATURES	(VDPASIM_FEATURES | \
			 BIT_ULL(VIRTIO_NET_F_MAC) | \
			 BIT_ULL(VIRTIO_NET_F_MTU) | \
			 BIT_ULL(VIRTIO_NET_F_STATUS) | \
			 BIT_ULL(VIRTIO_NET_F_MQ) | \
			 BIT_ULL(VIRTIO_NET_F_CTRL_VQ))

/* A VF that vDPA devices can be made of. */
struct parent {
	struct vdpa_mgmt_dev mgmtdev;
	struct labcx_vf *vf;
	bool used;
};

/* A VF's vDPA device. */
struct labcx_vdpa {
	struct vdpasim sim;	/* first: vdpa_sim allocates and frees this */
	struct labcx_vf *vf;
	struct labcx_sink sink;
	struct sk_buff_head waiting;	/* for the guest */
	void *frame;
	int pairs;
	u64 handled[2 * MAX_PAIRS + 1];	/* buffers of each virtqueue, under sim.mutex */
};

static struct labcx_vdpa *of_sim(struct vdpasim *sim)
{
	return container_of(sim, struct labcx_vdpa, sim);
}

/* Hands a used buffer back to the driver. */
static void hand_back(struct labcx_vdpa *vdpa, struct vdpasim_virtqueue *vq, size_t written)
{
	vdpa->handled[vq - vdpa->sim.vqs]++;
	vringh_complete_iotlb(&vq->vring, vq->head, written);
	/* The used entry is visible before the interrupt. */
	smp_wmb();
	local_bh_disable();
	if (vringh_need_notify_iotlb(&vq->vring) > 0)
		vringh_notify(&vq->vring);
	local_bh_enable();
}

/* One packet of the guest to the representor; false if there is none. */
static bool send_one(struct labcx_vdpa *vdpa, struct vdpasim_virtqueue *vq)
{
	struct virtio_net_hdr_v1 hdr;
	struct sk_buff *skb;
	ssize_t len;

	if (!vq->ready ||
	    vringh_getdesc_iotlb(&vq->vring, &vq->out_iov, NULL, &vq->head, GFP_ATOMIC) <= 0)
		return false;

	len = vringh_iov_pull_iotlb(&vq->vring, &vq->out_iov, &hdr, sizeof(hdr));
	if (len == sizeof(hdr))
		len = vringh_iov_pull_iotlb(&vq->vring, &vq->out_iov, vdpa->frame, MAX_FRAME);
	else
		len = 0;
	hand_back(vdpa, vq, 0);

	skb = len >= ETH_HLEN ? netdev_alloc_skb(NULL, len) : NULL;
	if (skb) {
		skb_put_data(skb, vdpa->frame, len);
		local_bh_disable();
		labcx_vf_send(vdpa->vf, skb);
		local_bh_enable();
	}
	return true;
}

/* One waiting packet to the guest; false if there is none, or no buffer for it. */
static bool receive_one(struct labcx_vdpa *vdpa, struct vdpasim_virtqueue *vq)
{
	struct virtio_net_hdr_v1 hdr = { .num_buffers = cpu_to_vdpasim16(&vdpa->sim, 1) };
	struct sk_buff *skb;
	ssize_t written;

	if (!vq->ready || skb_queue_empty(&vdpa->waiting) ||
	    vringh_getdesc_iotlb(&vq->vring, NULL, &vq->in_iov, &vq->head, GFP_ATOMIC) <= 0)
		return false;
	skb = skb_dequeue(&vdpa->waiting);
	written = vringh_iov_push_iotlb(&vq->vring, &vq->in_iov, &hdr, sizeof(hdr));
	if (written == sizeof(hdr))
		written += vringh_iov_push_iotlb(&vq->vring, &vq->in_iov, skb->data, skb->len);
	hand_back(vdpa, vq, written > 0 ? written : 0);
	kfree_skb(skb);
	return true;
}

/* Every command of the driver is answered with OK: none changes anything here. */
static bool answer_one(struct labcx_vdpa *vdpa, struct vdpasim_virtqueue *vq)
{
	virtio_net_ctrl_ack ack = VIRTIO_NET_OK;
	ssize_t written;

	if (!vq->ready ||
	    vringh_getdesc_iotlb(&vq->vring, &vq->in_iov, &vq->out_iov, &vq->head, GFP_ATOMIC) <= 0)
		return false;
	written = vringh_iov_push_iotlb(&vq->vring, &vq->out_iov, &ack, sizeof(ack));
	hand_back(vdpa, vq, written > 0 ? written : 0);
	return true;
}

static void work(struct vdpasim *sim)
{
	struct labcx_vdpa *vdpa = of_sim(sim);
	bool more = false;
	int budget;
	int pair;

	mutex_lock(&sim->mutex);
	if (!sim->running || !(sim->status & VIRTIO_CONFIG_S_DRIVER_OK))
		goto out;

	while (sim->features & BIT_ULL(VIRTIO_NET_F_CTRL_VQ) &&
	       answer_one(vdpa, &sim->vqs[2 * vdpa->pairs]))
		;
	for (pair = 0; pair < vdpa->pairs; pair++)
		for (budget = 16; budget && send_one(vdpa, &sim->vqs[2 * pair + 1]); budget--)
			more |= budget == 1;
	/* All of it through the first pair: the driver's hash is not ours to know. */
	while (receive_one(vdpa, &sim->vqs[0]))
		;
	if (more)
		vdpasim_schedule_work(sim);
out:
	mutex_unlock(&sim->mutex);
}

static bool receive(struct labcx_sink *sink, struct sk_buff *skb)
{
	struct labcx_vdpa *vdpa = container_of(sink, struct labcx_vdpa, sink);

	if (!(READ_ONCE(vdpa->sim.status) & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	if (skb_queue_len(&vdpa->waiting) >= MAX_WAITING || skb_linearize(skb) ||
	    (skb->ip_summed == CHECKSUM_PARTIAL && skb_checksum_help(skb))) {
		kfree_skb(skb);
		return true;
	}
	skb_orphan(skb);
	skb_queue_tail(&vdpa->waiting, skb);
	vdpasim_schedule_work(&vdpa->sim);
	return true;
}

static void get_config(struct vdpasim *sim, void *config)
{
	struct virtio_net_config *net = config;

	net->status = cpu_to_vdpasim16(sim, VIRTIO_NET_S_LINK_UP);
}

/* The names of mlx5_vdpa; nothing is ever received and not completed. */
static int get_stats(struct vdpasim *sim, u16 index, struct sk_buff *msg,
		     struct netlink_ext_ack *extack)
{
	static const char *const names[] = { "received_desc", "completed_desc" };
	struct labcx_vdpa *vdpa = of_sim(sim);
	int i;

	if (index > 2 * vdpa->pairs)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (nla_put_string(msg, VDPA_ATTR_DEV_VENDOR_ATTR_NAME, names[i]) ||
		    nla_put_u64_64bit(msg, VDPA_ATTR_DEV_VENDOR_ATTR_VALUE,
				      vdpa->handled[index], VDPA_ATTR_PAD))
			return -EMSGSIZE;
	return 0;
}

static void free_vdpa(struct vdpasim *sim)
{
	struct labcx_vdpa *vdpa = of_sim(sim);

	skb_queue_purge(&vdpa->waiting);
	kvfree(vdpa->frame);
}

/* What the administrator asked for, else what the VF has. */
static void fill_config(struct labcx_vdpa *vdpa, const struct vdpa_dev_set_config *wanted)
{
	struct virtio_net_config *net = vdpa->sim.config;
	u16 mtu = ETH_DATA_LEN;

	if (wanted->mask & BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MACADDR))
		ether_addr_copy(net->mac, wanted->net.mac);
	else if (is_valid_ether_addr(vdpa->vf->mac))
		ether_addr_copy(net->mac, vdpa->vf->mac);
	else
		eth_random_addr(net->mac);
	if (wanted->mask & BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MTU))
		mtu = wanted->net.mtu;
	net->mtu = __cpu_to_virtio16(true, mtu);
	net->max_virtqueue_pairs = __cpu_to_virtio16(true, vdpa->pairs);
	net->status = __cpu_to_virtio16(true, VIRTIO_NET_S_LINK_UP);
}

static int dev_add(struct vdpa_mgmt_dev *mgmtdev, const char *name,
		   const struct vdpa_dev_set_config *wanted)
{
	struct parent *parent = container_of(mgmtdev, struct parent, mgmtdev);
	int pairs = 1;
	struct vdpasim_dev_attr attr = {
		.mgmt_dev = mgmtdev,
		.name = name,
		.id = VIRTIO_ID_NET,
		.supported_features = FEATURES,
		/* vdpa_sim says that virtqueue 2 is in group 1: QEMU asks. */
		.ngroups = 2,
		.nas = 2,
		.alloc_size = sizeof(struct labcx_vdpa),
		.config_size = sizeof(struct virtio_net_config),
		.get_config = get_config,
		.get_stats = get_stats,
		.work_fn = work,
		.free = free_vdpa,
	};
	struct labcx_vdpa *vdpa;
	struct vdpasim *sim;
	int err;

	/* As mlx5_vdpa: a VF is one device. */
	if (parent->used)
		return -ENOSPC;
	if (wanted->mask & BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MAX_VQP))
		pairs = wanted->net.max_vq_pairs;
	if (pairs < 1 || pairs > MAX_PAIRS)
		return -EINVAL;
	attr.nvqs = 2 * pairs + 1;

	sim = vdpasim_create(&attr, wanted);
	if (IS_ERR(sim))
		return PTR_ERR(sim);
	vdpa = of_sim(sim);
	vdpa->vf = parent->vf;
	vdpa->pairs = pairs;
	vdpa->sink.receive = receive;
	skb_queue_head_init(&vdpa->waiting);
	sim->vdpa.dev.parent = &parent->vf->pdev->dev;
	fill_config(vdpa, wanted);

	vdpa->frame = kvmalloc(MAX_FRAME, GFP_KERNEL);
	if (!vdpa->frame) {
		err = -ENOMEM;
		goto err_put;
	}
	err = _vdpa_register_device(&sim->vdpa, attr.nvqs);
	if (err)
		goto err_put;
	parent->used = true;
	labcx_vf_set_sink(parent->vf, &vdpa->sink);
	return 0;

err_put:
	put_device(&sim->vdpa.dev);
	return err;
}

static void dev_del(struct vdpa_mgmt_dev *mgmtdev, struct vdpa_device *dev)
{
	struct parent *parent = container_of(mgmtdev, struct parent, mgmtdev);

	labcx_vf_set_sink(parent->vf, NULL);
	parent->used = false;
	_vdpa_unregister_device(dev);
}

static int dev_set_attr(struct vdpa_mgmt_dev *mgmtdev, struct vdpa_device *dev,
			const struct vdpa_dev_set_config *wanted)
{
	struct vdpasim *sim = container_of(dev, struct vdpasim, vdpa);
	struct virtio_net_config *net = sim->config;

	if (!(wanted->mask & BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MACADDR)))
		return -EOPNOTSUPP;
	mutex_lock(&sim->mutex);
	ether_addr_copy(net->mac, wanted->net.mac);
	mutex_unlock(&sim->mutex);
	return 0;
}

static const struct vdpa_mgmtdev_ops mgmtdev_ops = {
	.dev_add = dev_add,
	.dev_del = dev_del,
	.dev_set_attr = dev_set_attr,
};

static struct virtio_device_id virtio_ids[] = {
	{ VIRTIO_ID_NET, VIRTIO_DEV_ANY_ID },
	{ }
};

static int vnet_probe(struct auxiliary_device *adev, const struct auxiliary_device_id *id)
{
	struct labcx_adev *vnet = container_of(adev, struct labcx_adev, adev);
	struct parent *parent;
	int err;

	parent = kzalloc(sizeof(*parent), GFP_KERNEL);
	if (!parent)
		return -ENOMEM;
	parent->vf = vnet->vf;
	parent->mgmtdev.ops = &mgmtdev_ops;
	parent->mgmtdev.device = adev->dev.parent;
	parent->mgmtdev.id_table = virtio_ids;
	parent->mgmtdev.config_attr_mask = BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MACADDR) |
					   BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MTU) |
					   BIT_ULL(VDPA_ATTR_DEV_NET_CFG_MAX_VQP) |
					   BIT_ULL(VDPA_ATTR_DEV_FEATURES);
	parent->mgmtdev.max_supported_vqs = 2 * MAX_PAIRS + 1;
	parent->mgmtdev.supported_features = FEATURES;

	err = vdpa_mgmtdev_register(&parent->mgmtdev);
	if (err) {
		kfree(parent);
		return err;
	}
	auxiliary_set_drvdata(adev, parent);
	return 0;
}

static void vnet_remove(struct auxiliary_device *adev)
{
	struct parent *parent = auxiliary_get_drvdata(adev);

	vdpa_mgmtdev_unregister(&parent->mgmtdev);
	kfree(parent);
}

static const struct auxiliary_device_id vnet_ids[] = {
	{ .name = "labcx.vnet" },
	{ }
};
MODULE_DEVICE_TABLE(auxiliary, vnet_ids);

static struct auxiliary_driver vnet_driver = {
	.name = "vnet",
	.probe = vnet_probe,
	.remove = vnet_remove,
	.id_table = vnet_ids,
};
module_auxiliary_driver(vnet_driver);

MODULE_ALIAS("mlx5_vdpa");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("vDPA for the lab's pretend card");
