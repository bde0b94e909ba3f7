/* What an order costs. */

/* In cents; from ten pieces on a tenth less. 0 for what is no order. */
int order_total(int pieces, int price);

/* How many pieces a request's target asks for: /order?pieces=N. -1: it asks for something else. */
int order_pieces(const char *target);
