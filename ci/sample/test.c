/* Unit tests of order.c; writes JUnit XML to standard output and exits 1 when one fails. */
#include <stdio.h>

#include "order.h"

static int failures;

static void check(const char *name, int got, int wanted) {
  printf("  <testcase classname=\"order\" name=\"%s\">", name);
  if (got != wanted) {
    printf("<failure message=\"expected %d, got %d\"/>", wanted, got);
    failures++;
  }
  printf("</testcase>\n");
}

int main(void) {
  printf("<testsuite name=\"order\">\n");
  check("a few pieces cost what they cost", order_total(3, 250), 750);
  check("ten pieces are a tenth cheaper", order_total(10, 250), 2250);
  check("nine are not", order_total(9, 250), 2250);
  check("nothing costs nothing", order_total(0, 250), 0);
  check("the target says how many", order_pieces("/order?pieces=12"), 12);
  check("another target is no order", order_pieces("/stock"), -1);
  check("letters are no number", order_pieces("/order?pieces=1x"), -1);
  printf("</testsuite>\n");
  return failures > 0;
}
