// Thin shims for Swift: netlink.
#ifndef NETLOOM_NETLINK_SHIM_H
#define NETLOOM_NETLINK_SHIM_H

#endif
