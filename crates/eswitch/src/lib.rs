//! The embedded switch of a SmartNIC: devlink, representors and hw-tc-offload.
