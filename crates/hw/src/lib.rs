//! PCI functions, SR-IOV and links of a Linux host, and the simulated machine that all mocks share.
