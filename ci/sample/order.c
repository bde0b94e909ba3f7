#include "order.h"

int order_total(int pieces, int price) {
  if (pieces <= 0 || price <= 0) return 0;
  int total = pieces * price;
  return pieces >= 10 ? total - total / 10 : total;
}

int order_pieces(const char *target) {
  static const char prefix[] = "/order?pieces=";
  for (int i = 0; prefix[i]; i++)
    if (target[i] != prefix[i]) return -1;
  int pieces = 0;
  for (const char *digit = target + sizeof prefix - 1; *digit; digit++) {
    if (*digit < '0' || *digit > '9' || pieces > 9999) return -1;
    pieces = pieces * 10 + (*digit - '0');
  }
  return pieces > 0 ? pieces : -1;
}
