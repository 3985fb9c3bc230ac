#pragma once

// Discrete Fourier transforms of a few vectors, by their definition, halved by symmetry. No other headers: see
// spectral_kernels.h.
#include "impact/kernels/vectors.h"

namespace impact
{
namespace
{

struct Complex
{
  Vec re;
  Vec im;
};

/** cos(2 pi k / n) for the lengths that there are. */
constexpr double
cosine(int k, int n)
{
  // Taylor's series of an angle brought into [-pi, pi]: exact to double precision.
  double angle = 2.0 * 3.14159265358979323846 * (k % n) / n;
  angle = angle > 3.14159265358979323846 ? angle - 2.0 * 3.14159265358979323846 : angle;
  double sum = 1.0;
  double term = 1.0;
  for (int i = 1; i < 20; ++i)
  {
    term *= -angle * angle / ((2 * i - 1) * (2 * i));
    sum += term;
  }
  return sum;
}

template <int N>
struct Table
{
  float cos[N]{};
  float sin[N]{};

  constexpr Table()
  {
    for (int k = 0; k < N; ++k)
    {
      cos[k] = static_cast<float>(cosine(k, N));
      sin[k] = static_cast<float>(cosine(4 * k + 3 * N, 4 * N)); // sin(a) = cos(a - pi / 2)
    }
  }
};

template <int N>
constexpr Table<N> table{};

/** Transforms in place: sign -1 forward, +1 back, without any scale. */
template <int N, int Sign>
inline __attribute__((always_inline)) void
transform(Complex (&x)[N])
{
  constexpr int half = N / 2;
  Complex       even[half];
  Complex       odd[half];
#pragma GCC unroll 8
  for (int j = 1; j < half; ++j)
  {
    even[j] = { x[j].re + x[N - j].re, x[j].im + x[N - j].im };
    odd[j] = { x[j].re - x[N - j].re, x[j].im - x[N - j].im };
  }
  const Complex first = x[0];
  const Complex middle = x[half];
#pragma GCC unroll 8
  for (int k = 0; k <= half; ++k)
  {
    Complex a = (k % 2) == 0 ? Complex{ first.re + middle.re, first.im + middle.im }
                             : Complex{ first.re - middle.re, first.im - middle.im };
    Complex b{};
#pragma GCC unroll 8
    for (int j = 1; j < half; ++j)
    {
      const float c = table<N>.cos[(j * k) % N];
      const float s = table<N>.sin[(j * k) % N];
      a.re += c * even[j].re;
      a.im += c * even[j].im;
      if (k > 0 && k < half)
      {
        b.re += s * odd[j].re;
        b.im += s * odd[j].im;
      }
    }
    if (k == 0 || k == half)
    {
      x[k] = a;
    }
    else if (Sign < 0)
    {
      x[k] = { a.re + b.im, a.im - b.re };
      x[N - k] = { a.re - b.im, a.im + b.re };
    }
    else
    {
      x[k] = { a.re - b.im, a.im + b.re };
      x[N - k] = { a.re + b.im, a.im - b.re };
    }
  }
}

/** N real numbers to their N / 2 + 1 frequencies. */
template <int N>
inline __attribute__((always_inline)) void
transformReal(const Vec (&x)[N], Complex (&y)[N / 2 + 1])
{
  constexpr int half = N / 2;
#pragma GCC unroll 8
  for (int k = 0; k <= half; ++k)
  {
    Vec re = (k % 2) == 0 ? x[0] + x[half] : x[0] - x[half];
    Vec im{};
#pragma GCC unroll 8
    for (int j = 1; j < half; ++j)
    {
      re += table<N>.cos[(j * k) % N] * (x[j] + x[N - j]);
      if (k > 0 && k < half)
      {
        im -= table<N>.sin[(j * k) % N] * (x[j] - x[N - j]);
      }
    }
    y[k] = { re, im };
  }
}

/** And back, without any scale. */
template <int N>
inline __attribute__((always_inline)) void
transformToReal(const Complex (&y)[N / 2 + 1], Vec (&x)[N])
{
  constexpr int half = N / 2;
  Vec           re[half];
  Vec           im[half];
#pragma GCC unroll 8
  for (int k = 1; k < half; ++k)
  {
    re[k] = y[k].re + y[k].re;
    im[k] = y[k].im + y[k].im;
  }
#pragma GCC unroll 8
  for (int j = 0; j <= half; ++j)
  {
    Vec a = (j % 2) == 0 ? y[0].re + y[half].re : y[0].re - y[half].re;
    Vec b{};
#pragma GCC unroll 8
    for (int k = 1; k < half; ++k)
    {
      a += table<N>.cos[(j * k) % N] * re[k];
      if (j > 0 && j < half)
      {
        b += table<N>.sin[(j * k) % N] * im[k];
      }
    }
    x[j] = a - b;
    if (j > 0 && j < half)
    {
      x[N - j] = a + b;
    }
  }
}

} // namespace
} // namespace impact
