// libpcap, apart from CLinux: only the probe links it (it drags in libdbus and doubles a small process's memory).
#ifndef NETLOOM_CPCAP_H
#define NETLOOM_CPCAP_H

#include <stdint.h>
#include <pcap/pcap.h>

// Moves the calling thread into the network namespace that `path` names (/proc/PID/ns/net). 0, or -1 with errno.
// Only for threads that end afterwards.
int netloom_enter_network_namespace(const char *path);

// The Ethernet address of an interface of the calling thread's namespace. 0, or -1 with errno.
int netloom_hardware_address(const char *interface, uint8_t address[6]);

// The kernel's name and release ("Linux 6.18.0") and the machine's architecture, both cut to their buffers. Here because
// the importer takes struct utsname for two different types when glibc is imported both with and without _GNU_SOURCE.
void netloom_kernel_names(unsigned char *system, size_t system_size, unsigned char *machine, size_t machine_size);

#endif
