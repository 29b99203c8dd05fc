/* Losses and logit gradients of rows of a vocabulary, processing each row while it is in the second-level cache.
 *
 * The formulas are those of gradients.py; rows.py does the same with tensor operations; compiling.py compiles this file and
 * native.py calls it. A row is read from memory once and written once: exponentials are computed once and replace the logits,
 * and the forward KL needs no normalized value, because
 *     sum p (log p - log q) = sum e^b (b - a) / sum e^b + log sum e^a - log sum e^b
 * where a and b are the student's and the teacher's logits minus their maximum.
 *
 * Compiled once for each of: KIND, the divergence (NONE: the student's side alone); TEMPERATURE, 1 or 2 or 0 for any other;
 * DOUBLE, 0 or 1. A NaN anywhere in a row comes out as a loss that is NaN.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#define SHARED_OUT _Pragma("omp parallel for num_threads(threads)")
#else
#define THREAD 0
#define SHARED_OUT (void)threads;
#endif

#define SIMD(clause) _Pragma(#clause)

/* Sums over a piece use `real`, sums over pieces double: 128,000 terms in one float32 sum lose 1e-4 of it. With 8 floats in a
 * register, a piece adds 32 terms one after the other, which loses up to 4e-7. */
#define PIECE 256
#define PIECES(count) \
    for (int64_t from = 0, to; to = from + PIECE < (count) ? from + PIECE : (count), from < (count); from = to)

#define NONE 0
#define FORWARD_KL 1
#define REVERSE_KL 2
#define JSD 3
#define SKEW_KL 4
#define SKEW_REVERSE_KL 5
#define TVD 6

#define FLOOR -10000 /* LOWEST_LOGIT in rows.py */

/* LIMIT: e^LIMIT fits the type; beyond it the weight of the term, p or q, is below e^-LIMIT.
 * LOWEST: stands for everything below it in an exponential; e^LOWEST is still a normal number. */
#if DOUBLE
typedef double real;
#define LIMIT 638.0
#define LOWEST -700.0
static inline real exponential(real x) { return exp(x < LOWEST ? LOWEST : x); }
static inline real logarithm(real x) { return log(x); }
#else
typedef float real;
#define LIMIT 79.8f
#define LOWEST -87.0f
#define ROUNDER 12582912.0f /* 1.5 * 2^23: a small number added to it is rounded into its last bits */

/* a * b + c, rounded once where the processor can. Only in these two functions: everywhere else each product is
 * rounded, so that equal logits of student and teacher cancel to 0. */
#if defined FP_FAST_FMAF || defined __FMA__ || defined __ARM_FEATURE_FMA
#define STEP(a, b, c) fmaf(a, b, c)
#else
#define STEP(a, b, c) ((a) * (b) + (c))
#endif

/* e^x = 2^n e^r with |r| <= ln 2 / 2, where the Taylor series to r^7 leaves 5e-9; for x up to 88. NaN stays NaN. */
static inline real exponential(real x) {
    x = x < LOWEST ? LOWEST : x;
    real rounded = STEP(x, 1.44269504f, ROUNDER), n = rounded - ROUNDER;
    real r = STEP(n, 2.12194440e-4f, STEP(n, -0.693359375f, x)); /* ln 2 in two parts, the first exact in few bits */
    real series = 1.0f / 5040;
    series = STEP(series, r, 1.0f / 720);
    series = STEP(series, r, 1.0f / 120);
    series = STEP(series, r, 1.0f / 24);
    series = STEP(series, r, 1.0f / 6);
    series = STEP(series, r, 0.5f);
    series = STEP(series, r, 1.0f);
    series = STEP(series, r, 1.0f);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits + 127) << 23;
    real power;
    memcpy(&power, &bits, sizeof power);
    return series * power;
}

/* log x = n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = 2^n m and m around 1, for positive normal x. */
static inline real logarithm(real x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t n = (int32_t)(bits - 0x3f3504f3u) >> 23; /* m from sqrt(1/2) to sqrt(2) */
    bits -= (uint32_t)n << 23;
    real m;
    memcpy(&m, &bits, sizeof m);
    real z = (m - 1) / (m + 1), square = z * z;
    real series = 2.0f / 9;
    series = STEP(series, square, 2.0f / 7);
    series = STEP(series, square, 2.0f / 5);
    series = STEP(series, square, 2.0f / 3);
    series = STEP(series, square, 2.0f);
    real result = STEP((real)n, 0.693147181f, series * z);
    return x == x ? result : x; /* NaN has an exponent and a mantissa, too */
}
#endif

/* Of a row; -inf if it is empty. NaN values are skipped: they show up in everything computed afterwards. */
static real largest_of(const real *row, int64_t count) {
    real largest = -INFINITY;
    SIMD(omp simd reduction(max : largest))
    for (int64_t j = 0; j < count; j++) largest = row[j] > largest ? row[j] : largest;
    return largest;
}

/* e^(T a) where e = e^a is already computed; `place` stores it if it is neither e nor e^2. */
#if TEMPERATURE == 1
#define SHARP(e, a, place) (e)
#define AGAIN(e, place) (e)
#elif TEMPERATURE == 2
#define SHARP(e, a, place) ((e) * (e))
#define AGAIN(e, place) ((e) * (e))
#else
#define SHARP(e, a, place) ((place) = exponential(temperature * (a)))
#define AGAIN(e, place) (place)
#endif

/* lse, lse1: log-sum-exp of the logits s and of T s. If by_row is given, s becomes by_row[0] softmax(s) + by_row[1] softmax(T s);
 * else s is unchanged. unwritten, sharp: space for one row. */
static void student_row(real *s, int64_t vocabulary, real temperature, const real *by_row, real *lse, real *lse1,
                        real *unwritten, real *sharp) {
    (void)sharp;
    real largest = largest_of(s, vocabulary), *exponentials = by_row ? s : unwritten;
    double sum = 0, sharp_sum = 0;
    PIECES(vocabulary) {
        real of_piece = 0, sharp_of_piece = 0;
        SIMD(omp simd reduction(+ : of_piece, sharp_of_piece))
        for (int64_t j = from; j < to; j++) {
            real a = s[j] - largest, e = exponential(a);
            of_piece += e;
            sharp_of_piece += SHARP(e, a, sharp[j]);
            exponentials[j] = e;
        }
        sum += of_piece;
        sharp_sum += sharp_of_piece;
    }
    *lse = (real)(largest + log(sum));
    *lse1 = (real)((double)temperature * largest + log(sharp_sum));
    if (!by_row) return;
    real of_tempered = (real)(by_row[0] / sum), of_sharp = (real)(by_row[1] / sharp_sum);
    SIMD(omp simd)
    for (int64_t j = 0; j < vocabulary; j++) s[j] = of_tempered * s[j] + of_sharp * AGAIN(s[j], sharp[j]);
}

/* s: rows x vocabulary; by_row: rows x 2 or NULL; lse, lse1: rows; room: threads x 2 x vocabulary. */
void student_rows(real *s, int64_t rows, int64_t vocabulary, real temperature, const real *by_row, real *lse, real *lse1,
                  real *room, int threads) {
    SHARED_OUT
    for (int64_t r = 0; r < rows; r++) {
        real *own = room + 2 * THREAD * vocabulary;
        student_row(s + r * vocabulary, vocabulary, temperature, by_row ? by_row + 2 * r : by_row, lse + r, lse1 + r, own,
                    own + vocabulary);
    }
}

#if KIND != NONE
/* Of one outcome, from p, q and d = log p - log q: the divergence, and the pull q dL/dq. */
static inline real outcome(real p, real q, real d, real parameter, real *pull) {
    (void)parameter;
    if (KIND == REVERSE_KL) return *pull = -d * q;
    if (KIND == TVD) {
        real over = q - p;
        *pull = over < 0 ? -q / 2 : over > 0 ? q / 2 : over; /* 0 or NaN */
        return over < 0 ? -over / 2 : over / 2;
    }
    d = d > LIMIT ? LIMIT : d < -LIMIT ? -LIMIT : d;
    real share = KIND == SKEW_REVERSE_KL ? 1 - parameter : parameter;
    real mix = share * exponential(d) + (1 - share), log_mix = logarithm(mix); /* M / q */
    if (KIND == SKEW_KL) {
        *pull = (share - 1) * p / mix;
        return p * (d - log_mix);
    }
    if (KIND == SKEW_REVERSE_KL) {
        *pull = -(log_mix + parameter / mix) * q;
        return -q * log_mix;
    }
    *pull = (parameter - 1) * log_mix * q; /* JSD */
    return parameter * p * (d - log_mix) - (1 - parameter) * q * log_mix;
}

/* The distance of a logit below the maximum, for the logarithm of a ratio: -inf counts as FLOOR, because 0 * FLOOR is 0. */
static inline real floored(real below) { return below < FLOOR ? FLOOR : below; }

/* D(softmax(t) || softmax(s over the first `shared` ids)) into *loss; the teacher's row t is overwritten. With `write`, s becomes
 * weight dD/ds + label_scale softmax(T s). parameter: beta of jsd, alpha of the skewed ones. gap, sharp: space for one row. */
static void dense_row(real *s, real *t, int64_t vocabulary, int64_t shared, real parameter, real temperature, real weight,
                      real label_scale, real *loss, real *lse1, real *gap, real *sharp, int write) {
    (void)gap, (void)sharp, (void)parameter;
    real largest = largest_of(s, shared), teacher_largest = largest_of(t, shared);
    double sum = 0, teacher_sum = 0, sharp_sum = 0, product = 0;
    PIECES(shared) {
        real of_piece = 0, teacher_of_piece = 0, sharp_of_piece = 0, product_of_piece = 0;
        SIMD(omp simd reduction(+ : of_piece, teacher_of_piece, sharp_of_piece, product_of_piece))
        for (int64_t j = from; j < to; j++) {
            real a = s[j] - largest, b = t[j] - teacher_largest, e = exponential(a), f = exponential(b);
            real difference = floored(b) - floored(a);
            of_piece += e;
            teacher_of_piece += f;
            sharp_of_piece += SHARP(e, a, sharp[j]);
            s[j] = e;
            t[j] = f;
            if (KIND == FORWARD_KL)
                product_of_piece += f * difference;
            else
                gap[j] = difference;
        }
        sum += of_piece;
        teacher_sum += teacher_of_piece;
        sharp_sum += sharp_of_piece;
        product += product_of_piece;
    }
    /* The ids that the teacher doesn't have count only in softmax(T s). They have a separate scale: with the scale of the
     * shared ids, a large logit among them would push all the shared ids below LOWEST. */
    real beyond = largest_of(s + shared, vocabulary - shared), top = beyond > largest ? beyond : largest;
    double lowered = top == largest ? 1 : exp((double)temperature * (largest - top));
    sharp_sum *= lowered;
    PIECES(vocabulary - shared) {
        real sharp_of_piece = 0;
        SIMD(omp simd reduction(+ : sharp_of_piece))
        for (int64_t j = shared + from; j < shared + to; j++) {
            real a = s[j] - top, e = exponential(a);
            sharp_of_piece += SHARP(e, a, sharp[j]);
            s[j] = e;
        }
        sharp_sum += sharp_of_piece;
    }
    *lse1 = (real)((double)temperature * top + log(sharp_sum));

    double shift = log(sum) - log(teacher_sum);
    real student_scale = (real)(1 / sum), teacher_scale = (real)(1 / teacher_sum);
    real of_beyond = (real)(label_scale / sharp_sum), of_sharp = (real)(label_scale / sharp_sum * lowered);
    if (KIND == FORWARD_KL) {
        *loss = (real)(product / teacher_sum + shift);
        if (!write) return;
        SIMD(omp simd)
        for (int64_t j = 0; j < shared; j++)
            s[j] = weight * (student_scale * s[j] - teacher_scale * t[j]) + of_sharp * AGAIN(s[j], sharp[j]);
    } else {
        real constant = (real)shift;
        double total = 0, pulls = 0;
        PIECES(shared) {
            real of_piece = 0, pulls_of_piece = 0;
            SIMD(omp simd reduction(+ : of_piece, pulls_of_piece))
            for (int64_t j = from; j < to; j++) {
                real pull;
                of_piece += outcome(t[j] * teacher_scale, s[j] * student_scale, gap[j] + constant, parameter, &pull);
                pulls_of_piece += pull;
                gap[j] = pull;
            }
            total += of_piece;
            pulls += pulls_of_piece;
        }
        *loss = (real)total;
        if (!write) return;
        real pull_of_all = (real)pulls;
        SIMD(omp simd)
        for (int64_t j = 0; j < shared; j++)
            s[j] = weight * (gap[j] - s[j] * student_scale * pull_of_all) + of_sharp * AGAIN(s[j], sharp[j]);
    }
    SIMD(omp simd)
    for (int64_t j = shared; j < vocabulary; j++) s[j] = of_beyond * AGAIN(s[j], sharp[j]);
}

/* s: rows x vocabulary; t: rows x shared; loss, lse1: rows; room: threads x 2 x vocabulary. */
void dense_rows(real *s, real *t, int64_t rows, int64_t vocabulary, int64_t shared, real parameter, real temperature,
                real weight, real label_scale, real *loss, real *lse1, real *room, int write, int threads) {
    SHARED_OUT
    for (int64_t r = 0; r < rows; r++) {
        real *own = room + 2 * THREAD * vocabulary;
        dense_row(s + r * vocabulary, t + r * shared, vocabulary, shared, parameter, temperature, weight, label_scale, loss + r,
                  lse1 + r, own, own + vocabulary, write);
    }
}
#endif
