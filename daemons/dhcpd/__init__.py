"""A DHCP client, which Redox calls dhcpd: addresses for the adapters of the scheme `netcfg`."""
