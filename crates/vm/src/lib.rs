//! Wiring of a vDPA datapath into a libvirt domain, lossless for the rest of its XML.
