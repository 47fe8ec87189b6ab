//! Open vSwitch over OVSDB: bridges, ports and hardware offload, applied and not only committed.
