// libpcap, apart from CLinux: only the probe links it (it drags in libdbus and doubles a small process's memory).
// pcap.h itself stays behind these calls: it brings libc structures of its own, which the importer refuses beside those
// of CLinux and Glibc.
#ifndef NETLOOM_CPCAP_H
#define NETLOOM_CPCAP_H

#include <stddef.h>
#include <stdint.h>

#define NETLOOM_CAPTURE_ERROR_SIZE 256

// Moves the calling thread into the network namespace that `path` names (/proc/PID/ns/net). 0, or an errno.
// Only for threads that end afterwards.
int netloom_enter_network_namespace(const char *path);

// The Ethernet address of an interface of the calling thread's namespace. 0, or an errno.
int netloom_hardware_address(const char *interface, uint8_t address[6]);

// How a capture is opened; see CaptureOptions.
struct netloom_capture_options {
  const char *filter;               // pcap-filter(7), "" for everything
  int snap_length;
  int ring_bytes;
  int immediate;
  int timeout_ms;
};

enum netloom_capture_result {
  NETLOOM_CAPTURE_OPEN = 0,
  NETLOOM_CAPTURE_DOWN = 1,         // the interface is administratively down
  NETLOOM_CAPTURE_FAILED = 2,       // `error` says why
};

// Opens a non-blocking capture with nanosecond times in the calling thread's namespace. Ethernet interfaces only. On
// NETLOOM_CAPTURE_OPEN *capture is to be closed, otherwise it is NULL. Returns a netloom_capture_result.
int netloom_capture_open(const char *interface, const struct netloom_capture_options *options, void **capture,
                         char error[NETLOOM_CAPTURE_ERROR_SIZE]);
void netloom_capture_close(void *capture);

// To be polled for reading.
int netloom_capture_descriptor(void *capture);

typedef void (*netloom_capture_packet)(void *context, uint64_t nanoseconds, uint32_t wire_length, const uint8_t *bytes,
                                       uint32_t count);

// Hands over at most `limit` packets that are there, without waiting. The bytes are valid during the call.
void netloom_capture_read(void *capture, int limit, netloom_capture_packet packet, void *context);

// Since it was opened: packets that passed the filter, and those of them that found no room. 0, or -1.
int netloom_capture_statistics(void *capture, uint32_t *received, uint32_t *dropped);

// Compiles an expression for Ethernet. 0, or -1 with libpcap's words in `error`.
int netloom_filter_check(const char *expression, char error[NETLOOM_CAPTURE_ERROR_SIZE]);

// The kernel's name and release ("Linux 6.18.0") and the machine's architecture, both cut to their buffers.
void netloom_kernel_names(char *system, size_t system_size, char *machine, size_t machine_size);

#endif
