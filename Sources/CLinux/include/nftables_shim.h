// Thin shims for Swift: nftables and conntrack over NETLINK_NETFILTER. The kernel's headers, libnftnl's expressions, and
// what the importer cannot see (expressions, function-like macros).
#ifndef NETLOOM_NFTABLES_SHIM_H
#define NETLOOM_NFTABLES_SHIM_H

#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>

// linux/netfilter/nfnetlink.h writes these as expressions.
#define NFT_BATCH_BEGIN 0x10
#define NFT_BATCH_END 0x11

// linux/netfilter/nf_tables.h: the data type of a set whose elements are verdicts, as a plain number.
#define NFT_SET_VERDICTS 0xffffff00u

// Adds to the message the expression's name and data (NFTA_EXPR_NAME, NFTA_EXPR_DATA). The caller has reserved the room: libnftnl checks no
// bound. At most NFT_EXPRESSION_ROOM bytes: two 64-byte values, or four nested expressions of a dynset.
#define NFT_EXPRESSION_ROOM 2048
void nft_put_expression(void *message, const struct nftnl_expr *expression);

// Reads the expressions of an NFT_MSG_NEWRULE message; NULL when libnftnl does not know one of them.
struct nftnl_rule *nft_parse_rule(const void *message);

// The expressions inside a dynset expression: calls `each` with every one.
void nft_each_nested(const struct nftnl_expr *dynset, void (*each)(const struct nftnl_expr *, void *), void *context);

#endif
