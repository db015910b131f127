#ifndef NRW_BASE_CLOCK_H
#define NRW_BASE_CLOCK_H

/* Seconds on a clock that only goes forward; its zero means nothing. */
double nrw_seconds(void);

#endif
