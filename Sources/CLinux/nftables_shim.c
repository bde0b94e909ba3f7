#include "CLinux.h"

void nft_put_expression(void *message, const struct nftnl_expr *expression) {
    nftnl_expr_build_payload(message, (struct nftnl_expr *)expression);
}

struct nftnl_rule *nft_parse_rule(const void *message) {
    struct nftnl_rule *rule = nftnl_rule_alloc();
    if (rule && nftnl_rule_nlmsg_parse(message, rule) < 0) {
        nftnl_rule_free(rule);
        return NULL;
    }
    return rule;
}

struct nested {
    void (*each)(const struct nftnl_expr *, void *);
    void *context;
};

static int visit(struct nftnl_expr *expression, void *data) {
    struct nested *nested = data;
    nested->each(expression, nested->context);
    return 0;
}

void nft_each_nested(const struct nftnl_expr *dynset, void (*each)(const struct nftnl_expr *, void *), void *context) {
    // libnftnl's foreach wants the list form; a single NFTA_DYNSET_EXPR is parsed into the same list.
    struct nested nested = {each, context};
    nftnl_expr_expr_foreach(dynset, visit, &nested);
}
