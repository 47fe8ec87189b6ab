"""The contender that uses ovsdbapp (python3-ovsdbapp), OpenStack's library on top of the Python IDL.

    ovsdbapp.py REMOTE ports N

Times begin when the modules are loaded and include connecting; milliseconds.
"""
import json
import sys
import time

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.schema.open_vswitch import impl_idl

remote, _, count = sys.argv[1:4]
begin = time.monotonic()
idl = connection.OvsdbIdl.from_server(remote, "Open_vSwitch")
api = impl_idl.OvsdbIdl(connection.Connection(idl, timeout=120))
with api.transaction(check_error=True) as txn:
    txn.add(api.add_br("ovs-sriov"))
    txn.add(api.db_set("Bridge", "ovs-sriov", ("external_ids", {"vdpa-owner": "vdpa"})))
    for n in range(int(count)):
        txn.add(api.add_port("ovs-sriov", "p%d" % n))
        ids = {"vdpa-owner": "vdpa", "vdpa-port": "0000:43:00.0/vf%d" % n}
        txn.add(api.db_set("Port", "p%d" % n, ("external_ids", ids)))
print(json.dumps({"ms": (time.monotonic() - begin) * 1000}))
