"""The contenders that use Open vSwitch's own Python IDL (python3-openvswitch, JSON in C).

    idl.py REMOTE ports N | delete | snapshot | transactions COUNT DEPTH

Times begin when the modules are loaded and include connecting; milliseconds.
"""
import json
import resource
import sys
import time

import ovs.db.idl
import ovs.poller

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def connected(remote, tables):
    helper = ovs.db.idl.SchemaHelper(SCHEMA)
    for table, columns in tables.items():
        if columns is None:
            helper.register_table(table)
        else:
            helper.register_columns(table, columns)
    idl = ovs.db.idl.Idl(remote, helper)
    until(idl, lambda: idl.has_ever_connected())
    return idl


def until(idl, condition):
    while not condition():
        if idl.run():
            continue
        if condition():
            break
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()


def ms(begin):
    return (time.monotonic() - begin) * 1000


def switch(remote):
    return connected(remote, {
        "Open_vSwitch": ["bridges", "next_cfg", "cur_cfg"],
        "Bridge": ["name", "ports", "external_ids"],
        "Port": ["name", "interfaces", "external_ids"],
        "Interface": ["name", "type", "external_ids", "ofport", "error"],
    })


def root(idl):
    return next(iter(idl.tables["Open_vSwitch"].rows.values()))


def apply(idl, txn):
    root(idl).increment("next_cfg")
    status = txn.commit_block()
    assert status == ovs.db.idl.Transaction.SUCCESS, (status, txn.get_error())
    wanted = txn.get_increment_new_value()
    until(idl, lambda: root(idl).cur_cfg >= wanted)


def ports(remote, count):
    begin = time.monotonic()
    idl = switch(remote)
    txn = ovs.db.idl.Transaction(idl)

    def port(name, kind):
        interface = txn.insert(idl.tables["Interface"])
        interface.name = name
        interface.type = kind
        row = txn.insert(idl.tables["Port"])
        row.name = name
        row.interfaces = [interface]
        if kind == "":
            row.external_ids = {"vdpa-owner": "vdpa", "vdpa-port": "0000:43:00.0/vf" + name[1:]}
        return row

    bridge = txn.insert(idl.tables["Bridge"])
    bridge.name = "ovs-sriov"
    bridge.external_ids = {"vdpa-owner": "vdpa"}
    bridge.ports = [port("ovs-sriov", "internal")] + [port("p%d" % n, "") for n in range(count)]
    root(idl).verify("bridges")
    root(idl).bridges = root(idl).bridges + [bridge]
    apply(idl, txn)
    return {"ms": ms(begin)}


def delete(remote):
    begin = time.monotonic()
    idl = switch(remote)
    txn = ovs.db.idl.Transaction(idl)
    root(idl).verify("bridges")
    root(idl).bridges = [bridge for bridge in root(idl).bridges if bridge.name != "ovs-sriov"]
    apply(idl, txn)
    return {"ms": ms(begin)}


def snapshot(remote):
    begin = time.monotonic()
    idl = connected(remote, {"Interface": None})
    rows = len(idl.tables["Interface"].rows)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"ms": ms(begin), "rows": rows, "mib": kib / 1024}


def transactions(remote, count, depth):
    idl = connected(remote, {"Queue": ["other_config"]})
    queue = next(iter(idl.tables["Queue"].rows.values()))
    flying = []
    used = time.process_time()
    begin = time.monotonic()
    sent = done = 0
    incomplete = ovs.db.idl.Transaction.INCOMPLETE
    while done < count:
        while sent < count and len(flying) < depth:
            txn = ovs.db.idl.Transaction(idl)
            queue.setkey("other_config", "n", str(sent))
            txn.commit()
            flying.append(txn)
            sent += 1
        idl.run()
        left = [txn for txn in flying if txn.commit() == incomplete]
        done += len(flying) - len(left)
        if len(left) == len(flying):
            poller = ovs.poller.Poller()
            idl.wait(poller)
            for txn in flying:
                txn.wait(poller)
            poller.block()
        flying = left
    elapsed = time.monotonic() - begin
    return {"per_second": count / elapsed, "cpu_us": (time.process_time() - used) / count * 1e6}


remote, what = sys.argv[1:3]
numbers = [int(word) for word in sys.argv[3:]]
print(json.dumps({"ports": ports, "delete": delete, "snapshot": snapshot, "transactions": transactions}[what](remote, *numbers)))
