/* The notebook's loop as one would write it in C: the peer of the compiled kernel.
 *
 * weights: w1 ... w18, b1, b2; the errors are those before each update, as the kernel's are.
 * Biases move as in the notebook: b2 by the derivative of b1, b1 never.
 */
#include <math.h>

enum { INPUTS = 4, HIDDEN = 3, OUTPUTS = 2 };

static double sigmoid(double z) { return 1.0 / (1.0 + exp(-z)); }

void train(double *weights, const double *x, const double *t, double rate, long steps,
           double *errors) {
  double w1[INPUTS][HIDDEN], w2[HIDDEN][OUTPUTS];
  double b1 = weights[18], b2 = weights[19];

  for (int i = 0; i < INPUTS; i++)
    for (int j = 0; j < HIDDEN; j++) w1[i][j] = weights[i * HIDDEN + j];
  for (int i = 0; i < HIDDEN; i++)
    for (int j = 0; j < OUTPUTS; j++) w2[i][j] = weights[12 + i * OUTPUTS + j];

  for (long step = 0; step < steps; step++) {
    double h[HIDDEN], o[OUTPUTS], dh[HIDDEN], dout[OUTPUTS];
    double error = 0.0, sum = 0.0;

    for (int j = 0; j < HIDDEN; j++) {
      double z = b1;
      for (int i = 0; i < INPUTS; i++) z += x[i] * w1[i][j];
      h[j] = sigmoid(z);
    }
    for (int j = 0; j < OUTPUTS; j++) {
      double z = b2;
      for (int i = 0; i < HIDDEN; i++) z += h[i] * w2[i][j];
      o[j] = sigmoid(z);
    }
    for (int j = 0; j < OUTPUTS; j++) {
      double off = o[j] - t[j];
      error += 0.5 * off * off;
      dout[j] = off * o[j] * (1.0 - o[j]);
    }
    errors[step] = error;
    for (int i = 0; i < HIDDEN; i++) {
      double above = 0.0;
      for (int j = 0; j < OUTPUTS; j++) above += dout[j] * w2[i][j];
      dh[i] = above * h[i] * (1.0 - h[i]);
      sum += dh[i];
    }
    for (int i = 0; i < HIDDEN; i++)
      for (int j = 0; j < OUTPUTS; j++) w2[i][j] -= rate * h[i] * dout[j];
    for (int i = 0; i < INPUTS; i++)
      for (int j = 0; j < HIDDEN; j++) w1[i][j] -= rate * x[i] * dh[j];
    b2 -= rate * sum;
  }

  for (int i = 0; i < INPUTS; i++)
    for (int j = 0; j < HIDDEN; j++) weights[i * HIDDEN + j] = w1[i][j];
  for (int i = 0; i < HIDDEN; i++)
    for (int j = 0; j < OUTPUTS; j++) weights[12 + i * OUTPUTS + j] = w2[i][j];
  weights[19] = b2;
}
