// Thin shims for Swift: process.
#ifndef NETLOOM_PROCESS_SHIM_H
#define NETLOOM_PROCESS_SHIM_H

#endif
