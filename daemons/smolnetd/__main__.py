"""smolnetd's start: into a network of its own, and five schemes over it."""

from __future__ import annotations

from daemons.smolnetd.icmp import IcmpScheme
from daemons.smolnetd.ip import IpScheme
from daemons.smolnetd.netcfg import NetcfgScheme
from daemons.smolnetd.nodes import Tree
from daemons.smolnetd.quota import Quota
from daemons.smolnetd.tcp import TcpScheme
from daemons.smolnetd.udp import UdpScheme
from daemons.smolnetd.wiring import Network
from redbear_host.daemon import Daemon


def main() -> None:
    """Serve until the shim says stop."""
    with Daemon.receive() as daemon:
        network = Network(daemon)
        stack, poller = network.stack, network.poller
        quota = Quota()
        ip, tcp, udp, icmp, netcfg = daemon.scheme_names
        configuration = NetcfgScheme(Tree(stack, network.resolv))
        stack.on_change = configuration.changed
        daemon.serve(ip, IpScheme(stack, poller, quota))
        daemon.serve(tcp, TcpScheme(stack, poller, daemon.options["connect_s"], quota))
        daemon.serve(udp, UdpScheme(stack, poller, quota))
        daemon.serve(icmp, IcmpScheme(stack, poller, quota))
        daemon.serve(netcfg, configuration)
        daemon.run()


if __name__ == "__main__":
    main()
