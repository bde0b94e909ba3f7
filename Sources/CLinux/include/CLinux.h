// The one C module of the product: libc and kernel headers in the order in which they agree (libc first: in6_addr and
// friends must come from one of them), then libmnl, then our own shims, one header per subject.
#ifndef NETLOOM_CLINUX_H
#define NETLOOM_CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>
#include <signal.h>
#include <poll.h>
#include <sched.h>
#include <dirent.h>
#include <pthread.h>
#include <termios.h>
#include <pty.h>
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/file.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <net/ethernet.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/veth.h>
#include <linux/fib_rules.h>
#include <linux/pkt_sched.h>
#include <linux/gen_stats.h>
#include <libmnl/libmnl.h>

#include "process_shim.h"
#include "socket_shim.h"
#include "netlink_shim.h"
#include "nftables_shim.h"

#endif
