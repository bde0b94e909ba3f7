#include "CLinux.h"

int nl_attach_filter(int socket, const struct sock_filter *program, unsigned short length) {
    struct sock_fprog filter = {.len = length, .filter = (struct sock_filter *)program};
    return setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}
