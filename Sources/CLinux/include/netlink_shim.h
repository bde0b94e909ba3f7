// Thin shims for Swift: netlink. What the importer cannot see (function-like macros, expressions) or what the umbrella's
// libc headers hide (the kernel's linux/if.h cannot stand beside net/if.h).
#ifndef NETLOOM_NETLINK_SHIM_H
#define NETLOOM_NETLINK_SHIM_H

#include <linux/filter.h>
#include <linux/if_bridge.h>

// linux/if.h: the carrier is there. net/if.h stops before it.
#define NL_IFF_LOWER_UP 0x10000

// linux/netlink.h writes this one as an expression: the type of an attribute without its NESTED and byte-order bits.
#define NL_NLA_TYPE_MASK 0x3fff

// struct nexthop_grp of linux/nexthop.h with the high byte of the weight (kernel 6.12; before it the byte was reserved and
// had to be zero), under one name whatever headers are installed.
struct nl_nexthop_member {
    uint32_t id;
    uint8_t weight_less_one;
    uint8_t weight_high;
    uint16_t reserved;
};

// Attaches a classic BPF program to a socket; 0 or -1 with errno. The kernel copies the program.
int nl_attach_filter(int socket, const struct sock_filter *program, unsigned short length);

#endif
