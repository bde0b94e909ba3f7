/* What differs between the versions of the sample; the branches of the repository change this file and order.c. */
#define VERSION "v1"
#define DELAY_MS 0                  /* what an answer waits for */
#define STOCK "198.51.100.10"       /* where the number of pieces in stock is asked; this address is behind ISP 1 */
#define STOCK_PORT 9000
