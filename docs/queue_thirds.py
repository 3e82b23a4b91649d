#!/usr/bin/env python3
"""Drops every third ping, and makes blue what is purple: judges the packets of `queue num 3` (see queue.md)."""
import json
import socket
import sys

ICMP, ECHO_REQUEST, UDP = 1, 8, 17

control = sys.argv[1] if len(sys.argv) > 1 else "@routerd"
routerd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
routerd.connect(control.replace("@", "\0", 1) + "-queue")
routerd.send(json.dumps({"bind": 3}).encode())
pings = 0
while message := routerd.recv(70_000):
    line, _, packet = message.partition(b"\n")
    head = json.loads(line)
    if not packet:  # {"bound": 3}, or an error
        print(line.decode(), flush=True)
        continue
    answer, changed = {"packet": head["packet"], "verdict": "accept"}, b""
    protocol, transport = packet[9], packet[(packet[0] & 15) * 4:]
    if protocol == ICMP and transport[0] == ECHO_REQUEST:
        pings += 1
        if pings % 3 == 0:
            answer["verdict"] = "drop"
    elif protocol == UDP and b"purple" in transport:
        changed = b"\n" + packet.replace(b"purple", b"blue")
        answer["fix_checksums"] = True
    routerd.send(json.dumps(answer).encode() + changed)
