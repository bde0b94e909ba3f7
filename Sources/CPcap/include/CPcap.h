// libpcap, apart from CLinux: only the probe links it (it drags in libdbus and doubles a small process's memory).
#ifndef NETLOOM_CPCAP_H
#define NETLOOM_CPCAP_H
#include <pcap/pcap.h>
#endif
