//! One command from a bare ConnectX-6 Dx to virtual machines on its hardware datapath, and back.
