/* SPDX-License-Identifier: MIT */
/* Process mode as a model for Spin: the ledger that a run keeps of what its workers were given, the words in shared memory that
 * both change, and what becomes of these when a worker dies or stops at any instruction.
 *
 * Init is Fleet and Hand (run/process.hpp, run/hand.hpp), Worker is WorkerProcess (run/worker.hpp); the shares and `running`
 * are WorkerPage (run/errand.hpp); beside each inline stands what it models. A step is one access to what others see: a
 * compare-and-swap, a store, a message. Time is whether a deadline passes: when nobody else can do anything, and EARLY times
 * at any moment before that.
 *
 * In every execution
 * - each task is settled once, and no answer is taken for another task's;
 * - a task whose answer has crossed is not run again, and none is run by two workers at a time;
 * - at the death of a worker an attempt is lost by the task that ran, or that had its time, and by no other;
 * - the run ends, with all workers gone.
 *
 * Left out is what does not touch the ledger (results, events, tasks that are sent), workers that leave after so many tasks,
 * damaged frames, and the limits of 50 fruitless workers and 20 lost errands. Orders and frames cross whole or not at all: half
 * an order is never acted on, and half a frame never heard.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef TASKS
#define TASKS 3
#endif
#ifndef FAULTS
#define FAULTS 1   /* workers that die or stop by themselves */
#endif
#ifndef EARLY
#define EARLY 1    /* deadlines that pass while the worker could have gone on */
#endif
#ifndef STEALS
#define STEALS 1   /* else two idle workers could steal a task from each other for ever, each before the other takes it */
#endif
#define LANES 2
#define MOST 2     /* errands in an order; where there are two of something for it, they are written out */
#define ATTEMPTS 2
#define PIPE 2     /* frames that it holds */
#define NOBODY 255
#define DONE 254   /* the frame that ends an order */

typedef Lane {
  byte first, last;        /* the share: what the worker has not taken; all else is the parent's own */
  byte errand[MOST];
  byte start, answered, sent
};

mtype = { none, working, leaving, condemned };

typedef Hand {
  mtype state = none;
  Lane lane[LANES];
  byte oldest, open, places;
  byte overdue;            /* a place, from 1 */
  bool kill_due;           /* it has got SIGTERM */
  bool closed;             /* no further order will come */
  byte running;            /* a place, from 1: shared */
  bool alive, dead, gone;  /* the process: forked and not reaped yet; dead; dead for all to see */
  bool stopped;
  byte at = NOBODY;        /* for assertions: the task that `running` means, */
  byte guilty = NOBODY     /* and the one that is to lose an attempt */
};
Hand hand[WORKERS];
chan orders[WORKERS] = [LANES] of { byte, byte, byte, byte, byte };  /* lane, first place, count, tasks */
chan frames[WORKERS] = [PIPE] of { byte };  /* DONE, or an answer: its task, which the library does not send, for an assertion */

typedef Task {
  bool waits = true;       /* no worker has it */
  bool settled;
  bool crossed;            /* its answer is in a pipe, or was heard */
  byte lost                /* attempts */
};
Task task[TASKS];
byte settled;
byte faults = FAULTS;
byte early = EARLY;
byte steals = STEALS;

/* --- a worker process, and those that take its place */

#define mine hand[self]

inline forget_answers() { written = 0; gathered = 0; answers[0] = 0; answers[1] = 0; answers[2] = 0 }
inline forget_order() { lane = 0; first = 0; count = 0; id[0] = 0; id[1] = 0; k = 0 }

inline flush() {
  do
  :: atomic {
       written < gathered -> frames[self] ! answers[written];
       if
       :: answers[written] != DONE -> task[answers[written]].crossed = true
       :: else
       fi;
       written++
     }
  :: atomic { written == gathered -> forget_answers(); break }
  od
}

#define share mine.lane[lane]

proctype Worker(byte self) {
  byte lane, first, count, k, written, gathered;
  byte id[MOST];
  byte answers[MOST + 1];
end_unborn:
  do
  :: mine.alive && !mine.gone ->
     {
       do
       :: orders[self] ? lane, first, count, id[0], id[1] ->
          do
          :: atomic { k < count && share.first != share.last -> share.first++ }  /* Share::take */
             d_step {                                                           /* begin */
               mine.running = first + k + 1;
               mine.at = id[k];
               assert(!task[id[k]].settled && !task[id[k]].crossed);
               assert(WORKERS == 1 || hand[1 - self].dead || hand[1 - self].at != id[k])
             }
             d_step {                                                           /* the function has returned */
               answers[gathered] = id[k];
               gathered++;
               k++;
               mine.running = 0;
               mine.at = NOBODY
             }
             if
             :: flush()                                                         /* it is time, or they are many */
             :: true
             fi
          :: atomic {                                                           /* the rest, if any, was taken back */
               k == count || share.first == share.last ->
               answers[gathered] = DONE;
               gathered++;
               forget_order();
               break
             }
          od;
          flush()
       :: mine.closed && empty(orders[self]) -> mine.dead = true
       od
     } unless { mine.dead || mine.stopped };
     d_step {
       mine.dead;                                                               /* whoever is stopped waits for that */
       forget_order();
       forget_answers();
       mine.gone = true
     }
  od
}

/* Kills and stops whoever lives, at any moment. */
proctype Fate(byte self) {
end_idle:
  do
  :: atomic {
       faults > 0 && mine.alive && !mine.dead && !mine.stopped ->
       faults--;
       if
       :: mine.dead = true;
          if
          :: mine.guilty == NOBODY -> mine.guilty = mine.at
          :: else
          fi
       :: mine.stopped = true
       fi
     }
  od
}

/* --- the parent */

#define theirs hand[w]
#define oldest_lane theirs.lane[theirs.oldest]

inline settle(t) { assert(!task[t].settled); task[t].settled = true; settled++ }

/* The attempt failed: the task is tried again, or has failed. */
inline lose(t) {
  task[t].lost++;
  task[t].crossed = false;
  if
  :: task[t].lost == ATTEMPTS -> settle(t)
  :: else -> task[t].waits = true
  fi
}

inline close_order() {
  oldest_lane.errand[0] = 0; oldest_lane.errand[1] = 0;
  oldest_lane.start = 0; oldest_lane.answered = 0; oldest_lane.sent = 0;
  theirs.open--;
  theirs.oldest = (theirs.oldest + 1) % LANES
}

/* Fleet::hear */
inline hear() {
  atomic {
    frames[w] ? frame;
    assert(theirs.open != 0);
    if
    :: frame == DONE ->
       assert(oldest_lane.answered == oldest_lane.sent);
       close_order()
    :: else ->
       assert(oldest_lane.answered < oldest_lane.sent);
       assert(oldest_lane.errand[oldest_lane.answered] == frame);
       oldest_lane.answered++;
       if
       :: settle(frame)
       :: theirs.overdue == oldest_lane.start + oldest_lane.answered -> lose(frame)  /* it came too late */
       fi
    fi;
    frame = 0
  }
}

/* Hand::take_half_back: of the order that it comes to last; `any` says whether there was something. */
inline take_half_back() {
  any = false; k = theirs.open;
  do
  :: k > 0 && !any ->
     atomic {
       k--;
       lane = (theirs.oldest + k) % LANES;
       size = theirs.lane[lane].last - theirs.lane[lane].first;
       any = size != 0;
       theirs.lane[lane].last = theirs.lane[lane].first + size / 2;  /* Share::steal */
       if
       :: any ->
          do
          :: theirs.lane[lane].start + theirs.lane[lane].sent > theirs.lane[lane].last ->
             theirs.lane[lane].sent--;
             task[theirs.lane[lane].errand[theirs.lane[lane].sent]].waits = true;
             theirs.lane[lane].errand[theirs.lane[lane].sent] = 0
          :: else -> break
          od
       :: else
       fi;
       lane = 0; size = 0
     }
  :: else -> break
  od
}

inline take_all_back() {
  atomic {  /* all at once: what the worker takes meanwhile, it might have taken before */
    do
    :: take_half_back();
       if
       :: !any -> break
       :: else
       fi
    od;
    any = false; k = 0
  }
}

#define WAS_QUIET (theirs.state == condemned && theirs.overdue == 0)

/* Fleet::bury. The dead change nothing any more, so that all of it may be one step. */
inline bury() {
  atomic {
    do
    :: nempty(frames[w]) ->
#ifdef NO_DRAIN
       frames[w] ? frame; frame = 0
#else
       hear()
#endif
    :: empty(frames[w]) -> break
    od;
    take_all_back();
    do
    :: theirs.open != 0 ->
       k = oldest_lane.answered;
       do
       :: k < oldest_lane.sent ->
          place = oldest_lane.start + k + 1;
          t = oldest_lane.errand[k];
          if
          :: place == (theirs.overdue != 0 -> theirs.overdue : theirs.running) && !WAS_QUIET ->
             assert(t == theirs.guilty);
             theirs.guilty = NOBODY;
             lose(t)
          :: else -> task[t].waits = true
          fi;
          k++
       :: else -> break
       od;
       close_order()
    :: else -> break
    od;
    assert(theirs.guilty == NOBODY || theirs.state == condemned);  /* or it died while it was about to be killed */
    do
    :: nempty(orders[w]) -> orders[w] ? _, _, _, _, _
    :: empty(orders[w]) -> break
    od;
    k = 0; place = 0; t = 0;
    theirs.alive = false; theirs.dead = false; theirs.gone = false; theirs.stopped = false; theirs.closed = false;
    theirs.kill_due = false; theirs.overdue = 0; theirs.at = NOBODY; theirs.guilty = NOBODY;
    theirs.state = none
  }
}

/* Fleet::hire */
inline hire() {
  atomic {
    theirs.running = 0;
    theirs.state = working;
    theirs.alive = true
  }
}

/* Fleet::give, if there is something to do. */
inline give() {
  atomic {
    k = 0; t = 0;
    do
    :: t < TASKS && k < MOST ->
       if
       :: task[t].waits -> task[t].waits = false; id[k] = t; k++
       :: else
       fi;
       t++
    :: else -> break
    od;
    if
    :: k != 0 ->
       lane = (theirs.oldest + theirs.open) % LANES;
       theirs.lane[lane].errand[0] = id[0]; theirs.lane[lane].errand[1] = id[1];
       theirs.lane[lane].start = theirs.places; theirs.lane[lane].sent = k;
       assert(theirs.lane[lane].first == theirs.lane[lane].last);
       theirs.lane[lane].first = theirs.places;
       theirs.places = theirs.places + k;
       theirs.lane[lane].last = theirs.places;
       theirs.open++;
       orders[w] ! lane, theirs.lane[lane].start, k, id[0], id[1]
    :: else
    fi;
    lane = 0; k = 0; t = 0; id[0] = 0; id[1] = 0
  }
}

/* Of up to four tasks. */
#define WORK_WAITS (task[0].waits || task[1].waits || task[TASKS - 1].waits || task[TASKS / 2].waits)

/* Fleet::fill: up to so many orders. A worker with nothing to do gets what another has not begun. */
inline fill(most) {
  do
  :: theirs.state == working && theirs.open < most && WORK_WAITS -> give()
  :: WORKERS == 2 && theirs.state == working && theirs.open == 0 && !WORK_WAITS && steals > 0 ->
     w = WORKERS - 1 - w;
     take_half_back();
     w = WORKERS - 1 - w;
     if
     :: any -> steals--; any = false
     :: else -> break
     fi
  :: else -> break
  od;
  k = 0
}

/* Fleet::staff. One step, for a worker sees nothing of it but an order, or that it was stolen from, once. */
inline staff() {
  atomic {
    most = 1;
    do
    :: w < WORKERS ->
       if
       :: theirs.state == none && WORK_WAITS -> hire()
       :: else
       fi;
       fill(most);
       w++
    :: w == WORKERS && most == 1 -> w = 0; most = LANES
    :: else -> break
    od;
    w = 0
  }
}

/* Fleet::part */
inline part() {
  atomic {
    do
    :: w < WORKERS ->
       if
       :: theirs.state == working -> theirs.state = leaving; theirs.closed = true
       :: else
       fi;
       w++
    :: else -> break
    od;
    w = 0
  }
}

/* Hand::look_at_deadline and look_at_quiet, when the time has passed: what `place` was when they looked may be over by now. */
inline condemn() {
  take_all_back();
  atomic {
    theirs.state = condemned;
    if
    :: place != 0 ->
       theirs.overdue = place; place = 0;
       if
       :: !theirs.stopped -> theirs.dead = true   /* by SIGTERM */
       :: theirs.kill_due = true                  /* which it ignores, or which does not reach it */
       fi
    :: else -> theirs.dead = true
    fi;
    w = 0
  }
}

#define LIVES(x) (hand[x].alive && !hand[x].gone)
#define IS_AT_SOMETHING(x) (hand[x].running != 0 || hand[x].open != 0)
#define GONE(x) (hand[x].gone)
#define ANSWERS(x) (hand[x].alive && nempty(frames[x]))
#define PASSES(x) (hand[x].alive && hand[x].state != condemned && IS_AT_SOMETHING(x) && (early > 0 || timeout))
#define IGNORES(x) (LIVES(x) && hand[x].kill_due)
#define LINGERS(x) (LIVES(x) && hand[x].state == leaving && hand[x].open == 0 && timeout)

/* Fleet::drive, and what Fleet::wait can wake up for. */
init {
  byte w, k, t, lane, size, place, frame, most;
  byte id[MOST];
  bool any;
  atomic {
    run Worker(0); run Fate(0);
#if WORKERS == 2
    run Worker(1); run Fate(1);
#endif
  }
  do
  :: atomic {
       if
       :: settled < TASKS -> staff()
       :: else -> part()
       fi
     };
     if
     :: atomic { GONE(0) || GONE(WORKERS - 1) ->
          if
          :: GONE(0)
          :: GONE(WORKERS - 1) -> w = WORKERS - 1
          fi;
          bury(); w = 0 }
     :: atomic { ANSWERS(0) || ANSWERS(WORKERS - 1) ->
          if
          :: ANSWERS(0)
          :: ANSWERS(WORKERS - 1) -> w = WORKERS - 1
          fi;
          hear(); w = 0 }
     :: atomic { PASSES(0) || PASSES(WORKERS - 1) ->
          if
          :: PASSES(0)
          :: PASSES(WORKERS - 1) -> w = WORKERS - 1
          fi;
          early = early - (early > 0 -> 1 : 0);
          place = theirs.running;
          if
          :: place != 0 -> theirs.guilty = theirs.at
          :: else
          fi };
        condemn()
     :: atomic { IGNORES(0) || LINGERS(0) -> hand[0].dead = true; hand[0].kill_due = false }
     :: atomic { WORKERS == 2 && (IGNORES(WORKERS - 1) || LINGERS(WORKERS - 1)) ->
          hand[WORKERS - 1].dead = true; hand[WORKERS - 1].kill_due = false }
     :: atomic { settled == TASKS && hand[0].state == none && hand[WORKERS - 1].state == none -> break }
     fi
  od
}
