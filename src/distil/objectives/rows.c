/* Losses and logit gradients of rows of a vocabulary, each row worked on while it lies in the second-level cache.
 *
 * The formulas are those of gradients.py; rows.py has the same work in tensor operations, and native.py compiles and calls this
 * file. A row is read from memory once and written once: exponentials are computed once and kept in place of the logits, and the
 * forward KL needs no normalised value, because  sum p (log p - log q) = sum e^b (b - a) / sum e^b + log sum e^a - log sum e^b
 * for a and b, the student's and the teacher's logits less their largest.
 *
 * Compiled once for each of: KIND, the divergence (NONE: the student's side alone); TEMPERATURE, 1 or 2 or 0 for any other;
 * DOUBLE, 0 or 1.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

#define SIMD(clause) _Pragma(#clause)

#define NONE 0
#define FORWARD_KL 1
#define REVERSE_KL 2
#define JSD 3
#define SKEW_KL 4
#define SKEW_REVERSE_KL 5
#define TVD 6

#if DOUBLE
typedef double real;
#define LIMIT 638.0 /* e^LIMIT fits the type; beyond it the weight of the term, p or q, is below e^-LIMIT */
#define LOWEST -700.0
static inline real exponential(real x) { return exp(x < LOWEST ? LOWEST : x); }
static inline real logarithm(real x) { return log(x); }
#else
typedef float real;
#define LIMIT 79.8f
#define LOWEST -87.0f

/* e^x = 2^n e^r with |r| <= ln 2 / 2, where the Taylor series to r^7 leaves 5e-9. NaN stays NaN. */
static inline real exponential(real x) {
    x = x < LOWEST ? LOWEST : x;
    real n = rintf(x * 1.44269504f);
    real r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts, the first exact in few bits */
    real series = 1.0f / 5040;
    series = series * r + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    real power;
    memcpy(&power, &bits, sizeof power);
    return series * power;
}

/* log x = n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = 2^n m and m around 1, for positive normal x. */
static inline real logarithm(real x) {
    int32_t bits, n;
    memcpy(&bits, &x, sizeof bits);
    n = (bits - 0x3f3504f3) >> 23; /* m from sqrt(1/2) to sqrt(2) */
    bits -= n << 23;
    real m;
    memcpy(&m, &bits, sizeof m);
    real z = (m - 1) / (m + 1), square = z * z;
    real series = 2.0f / 9;
    series = series * square + 2.0f / 7;
    series = series * square + 2.0f / 5;
    series = series * square + 2.0f / 3;
    series = series * square + 2.0f;
    real result = series * z + (real)n * 0.693147181f;
    return x == x ? result : x; /* NaN has an exponent and a mantissa, too */
}
#endif

/* e^(T a) where e = e^a is at hand; `kept` is where it lies if it is neither e nor e^2. */
#if TEMPERATURE == 1
#define SHARP(e, a, kept) (e)
#define AGAIN(e, kept) (e)
#elif TEMPERATURE == 2
#define SHARP(e, a, kept) ((e) * (e))
#define AGAIN(e, kept) ((e) * (e))
#else
#define SHARP(e, a, kept) ((kept) = exponential(temperature * (a)))
#define AGAIN(e, kept) (kept)
#endif

#if KIND == NONE
/* lse, lse1: log-sum-exp of the logits s and of T s. With `write`, s becomes by_row[0] softmax(s) + by_row[1] softmax(T s).
 * sharp: room for a row. */
static void student_row(real *s, int64_t vocabulary, real temperature, const real *by_row, real *lse, real *lse1, real *sharp,
                        int write) {
    real largest = s[0], sum = 0, sharp_sum = 0;
    SIMD(omp simd reduction(max : largest))
    for (int64_t j = 0; j < vocabulary; j++) largest = s[j] > largest ? s[j] : largest;
    if (write) {
        SIMD(omp simd reduction(+ : sum, sharp_sum))
        for (int64_t j = 0; j < vocabulary; j++) {
            real a = s[j] - largest, e = exponential(a);
            sum += e;
            sharp_sum += SHARP(e, a, sharp[j]);
            s[j] = e;
        }
    } else {
        SIMD(omp simd reduction(+ : sum, sharp_sum))
        for (int64_t j = 0; j < vocabulary; j++) {
            real a = s[j] - largest, e = exponential(a);
            sum += e;
            sharp_sum += SHARP(e, a, sharp[j]);
        }
    }
    *lse = largest + (real)log(sum);
    *lse1 = temperature * largest + (real)log(sharp_sum);
    if (!write) return;
    real of_tempered = by_row[0] / sum, of_sharp = by_row[1] / sharp_sum;
    SIMD(omp simd)
    for (int64_t j = 0; j < vocabulary; j++) s[j] = of_tempered * s[j] + of_sharp * AGAIN(s[j], sharp[j]);
}

/* s: rows x vocabulary; by_row: rows x 2; lse, lse1: rows; room: threads x vocabulary. */
void student_rows(real *s, int64_t rows, int64_t vocabulary, real temperature, const real *by_row, real *lse, real *lse1,
                  real *room, int write, int threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t r = 0; r < rows; r++)
        student_row(s + r * vocabulary, vocabulary, temperature, by_row + 2 * r, lse + r, lse1 + r, room + THREAD * vocabulary,
                    write);
}

#else
/* Of one outcome, from p, q and d = log p - log q: the divergence, and the pull q dL/dq. */
static inline real outcome(real p, real q, real d, real parameter, real *pull) {
    (void)parameter;
    if (KIND == REVERSE_KL) return *pull = -d * q;
    if (KIND == TVD) {
        real over = q - p;
        *pull = over < 0 ? -q / 2 : over > 0 ? q / 2 : 0;
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

/* D(softmax(t) || softmax(s over the first `shared` ids)) into *loss; the teacher's row t is overwritten. With `write`, s becomes
 * weight dD/ds + label_scale softmax(T s). parameter: beta of jsd, alpha of the skewed ones. gap, sharp: room for a row. */
static void dense_row(real *s, real *t, int64_t vocabulary, int64_t shared, real parameter, real temperature, real weight,
                      real label_scale, real *loss, real *lse1, real *gap, real *sharp, int write) {
    real largest = s[0], teacher_largest = t[0];
    SIMD(omp simd reduction(max : largest, teacher_largest))
    for (int64_t j = 0; j < shared; j++) {
        largest = s[j] > largest ? s[j] : largest;
        teacher_largest = t[j] > teacher_largest ? t[j] : teacher_largest;
    }
    SIMD(omp simd reduction(max : largest))
    for (int64_t j = shared; j < vocabulary; j++) largest = s[j] > largest ? s[j] : largest;

    real sum = 0, teacher_sum = 0, sharp_sum = 0, product = 0;
    SIMD(omp simd reduction(+ : sum, teacher_sum, sharp_sum, product))
    for (int64_t j = 0; j < shared; j++) {
        real a = s[j] - largest, b = t[j] - teacher_largest, e = exponential(a), f = exponential(b);
        sum += e;
        teacher_sum += f;
        sharp_sum += SHARP(e, a, sharp[j]);
        product += f * (b - a);
        s[j] = e;
        t[j] = f;
        if (KIND != FORWARD_KL) gap[j] = b - a;
    }
    SIMD(omp simd reduction(+ : sharp_sum))
    for (int64_t j = shared; j < vocabulary; j++) {
        real a = s[j] - largest, e = exponential(a);
        sharp_sum += SHARP(e, a, sharp[j]);
        s[j] = e;
    }
    *lse1 = temperature * largest + (real)log(sharp_sum);

    real student_scale = 1 / sum, teacher_scale = 1 / teacher_sum, shift = (real)log(sum) - (real)log(teacher_sum);
    real total = 0, pulls = 0, of_sharp = label_scale / sharp_sum;
    if (KIND == FORWARD_KL) {
        *loss = product * teacher_scale + shift;
        if (!write) return;
        SIMD(omp simd)
        for (int64_t j = 0; j < shared; j++)
            s[j] = weight * (student_scale * s[j] - teacher_scale * t[j]) + of_sharp * AGAIN(s[j], sharp[j]);
    } else {
        SIMD(omp simd reduction(+ : total, pulls))
        for (int64_t j = 0; j < shared; j++) {
            real pull;
            total += outcome(t[j] * teacher_scale, s[j] * student_scale, gap[j] + shift, parameter, &pull);
            pulls += pull;
            gap[j] = pull;
        }
        *loss = total;
        if (!write) return;
        SIMD(omp simd)
        for (int64_t j = 0; j < shared; j++)
            s[j] = weight * (gap[j] - s[j] * student_scale * pulls) + of_sharp * AGAIN(s[j], sharp[j]);
    }
    SIMD(omp simd)
    for (int64_t j = shared; j < vocabulary; j++) s[j] = of_sharp * AGAIN(s[j], sharp[j]);
}

/* s: rows x vocabulary; t: rows x shared; loss, lse1: rows; room: 2 threads x vocabulary. */
void dense_rows(real *s, real *t, int64_t rows, int64_t vocabulary, int64_t shared, real parameter, real temperature,
                real weight, real label_scale, real *loss, real *lse1, real *room, int write, int threads) {
#pragma omp parallel for num_threads(threads)
    for (int64_t r = 0; r < rows; r++) {
        real *own = room + 2 * THREAD * vocabulary;
        dense_row(s + r * vocabulary, t + r * shared, vocabulary, shared, parameter, temperature, weight, label_scale, loss + r,
                  lse1 + r, own, own + vocabulary, write);
    }
}
#endif
