#define _GNU_SOURCE
#include "CPcap.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

int netloom_enter_network_namespace(const char *path)
{
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return -1;
  int result = setns(file, CLONE_NEWNET);
  int saved = errno;
  close(file);
  errno = saved;
  return result;
}

int netloom_hardware_address(const char *interface, uint8_t address[6])
{
  struct ifreq request = {0};
  if (strlen(interface) >= sizeof request.ifr_name) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(request.ifr_name, interface);
  int handle = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (handle < 0)
    return -1;
  int result = ioctl(handle, SIOCGIFHWADDR, &request);
  int saved = errno;
  close(handle);
  if (result == 0)
    memcpy(address, request.ifr_hwaddr.sa_data, 6);
  errno = saved;
  return result;
}

void netloom_kernel_names(unsigned char *system, size_t system_size, unsigned char *machine, size_t machine_size)
{
  struct utsname names;
  if (uname(&names) != 0)
    return;
  snprintf((char *)system, system_size, "%s %s", names.sysname, names.release);
  snprintf((char *)machine, machine_size, "%s", names.machine);
}
