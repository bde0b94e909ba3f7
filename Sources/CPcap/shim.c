#define _GNU_SOURCE
#include "CPcap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pcap/pcap.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

_Static_assert(NETLOOM_CAPTURE_ERROR_SIZE >= PCAP_ERRBUF_SIZE, "libpcap writes this much");

int netloom_enter_network_namespace(const char *path)
{
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return errno;
  int result = setns(file, CLONE_NEWNET) == 0 ? 0 : errno;
  close(file);
  return result;
}

int netloom_hardware_address(const char *interface, uint8_t address[6])
{
  struct ifreq request = {0};
  if (strlen(interface) >= sizeof request.ifr_name)
    return ENAMETOOLONG;
  strcpy(request.ifr_name, interface);
  int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle < 0)
    return errno;
  int result = ioctl(handle, SIOCGIFHWADDR, &request) == 0 ? 0 : errno;
  close(handle);
  memcpy(address, request.ifr_hwaddr.sa_data, 6);
  return result;
}

static void say(char *error, const char *text) { snprintf(error, NETLOOM_CAPTURE_ERROR_SIZE, "%s", text); }

static int set_filter(pcap_t *pcap, const char *expression, int install, char *error)
{
  struct bpf_program program;
  if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) != 0) {
    say(error, pcap_geterr(pcap));
    return -1;
  }
  int result = install ? pcap_setfilter(pcap, &program) : 0;
  pcap_freecode(&program);
  if (result != 0)
    say(error, pcap_geterr(pcap));
  return result;
}

static int activate(pcap_t *pcap, const struct netloom_capture_options *options, char *error)
{
  pcap_set_snaplen(pcap, options->snap_length);
  pcap_set_promisc(pcap, 0);
  pcap_set_immediate_mode(pcap, options->immediate);
  pcap_set_timeout(pcap, options->timeout_ms);
  pcap_set_buffer_size(pcap, options->ring_bytes);
  pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO);
  int status = pcap_activate(pcap);
  if (status == PCAP_ERROR_IFACE_NOT_UP)
    return NETLOOM_CAPTURE_DOWN;
  if (status < 0) {
    const char *detail = pcap_geterr(pcap);
    say(error, *detail ? detail : pcap_statustostr(status));
    return NETLOOM_CAPTURE_FAILED;
  }
  // Directions and decoders rest on Ethernet headers; a tunnel of the user's own has none.
  if (pcap_datalink(pcap) != DLT_EN10MB) {
    say(error, "not an Ethernet interface");
    return NETLOOM_CAPTURE_FAILED;
  }
  if (pcap_setnonblock(pcap, 1, error) != 0)
    return NETLOOM_CAPTURE_FAILED;
  if (*options->filter && set_filter(pcap, options->filter, 1, error) != 0)
    return NETLOOM_CAPTURE_FAILED;
  return NETLOOM_CAPTURE_OPEN;
}

int netloom_capture_open(const char *interface, const struct netloom_capture_options *options, void **capture,
                         char error[NETLOOM_CAPTURE_ERROR_SIZE])
{
  error[0] = 0;
  *capture = NULL;
  pcap_t *pcap = pcap_create(interface, error);
  if (!pcap)
    return NETLOOM_CAPTURE_FAILED;
  int result = activate(pcap, options, error);
  if (result == NETLOOM_CAPTURE_OPEN)
    *capture = pcap;
  else
    pcap_close(pcap);
  return result;
}

void netloom_capture_close(void *capture) { pcap_close(capture); }

int netloom_capture_descriptor(void *capture) { return pcap_get_selectable_fd(capture); }

struct sink {
  netloom_capture_packet packet;
  void *context;
};

static void forward(u_char *user, const struct pcap_pkthdr *header, const u_char *bytes)
{
  struct sink *sink = (struct sink *)user;
  // With nanosecond precision tv_usec holds nanoseconds (pcap-tstamp(7)).
  uint64_t time = (uint64_t)header->ts.tv_sec * 1000000000u + (uint64_t)header->ts.tv_usec;
  sink->packet(sink->context, time, header->len, bytes, header->caplen);
}

void netloom_capture_read(void *capture, int limit, netloom_capture_packet packet, void *context)
{
  struct sink sink = {packet, context};
  pcap_dispatch(capture, limit, forward, (u_char *)&sink);
}

int netloom_capture_statistics(void *capture, uint32_t *received, uint32_t *dropped)
{
  struct pcap_stat counters;
  if (pcap_stats(capture, &counters) != 0)
    return -1;
  *received = counters.ps_recv;
  *dropped = counters.ps_drop;
  return 0;
}

int netloom_filter_check(const char *expression, char error[NETLOOM_CAPTURE_ERROR_SIZE])
{
  error[0] = 0;
  pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 65535);
  if (!pcap) {
    say(error, "no memory");
    return -1;
  }
  int result = set_filter(pcap, expression, 0, error);
  pcap_close(pcap);
  return result;
}

void netloom_kernel_names(char *system, size_t system_size, char *machine, size_t machine_size)
{
  struct utsname names;
  if (uname(&names) != 0)
    return;
  snprintf(system, system_size, "%s %s", names.sysname, names.release);
  snprintf(machine, machine_size, "%s", names.machine);
}
