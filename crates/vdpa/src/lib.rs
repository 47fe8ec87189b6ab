//! vDPA datapaths: kernel vDPA devices and supervised dpdk-vdpa processes.
