"""The network: `ip`, `tcp`, `udp`, `icmp` and `netcfg`, over Linux's TCP/IP in a namespace."""
