// The system's nghttp2 (HTTP/2 framing, HPACK, stream states), and what its structures say in unions. Only the HTTP2
// module imports this.
#ifndef NETLOOM_CNGHTTP2_H
#define NETLOOM_CNGHTTP2_H

#include <nghttp2/nghttp2.h>

#endif
