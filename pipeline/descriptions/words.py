"""The words that a description may be made of, and those that it must never hold.

Closed on purpose: a word that is in neither list is refused too, because nobody has decided that it is measured.
"""

from __future__ import annotations


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


FORBIDDEN = _words(
    """
    afraid agitated amazed amused amusement anger angry annoyed anxiety anxious ashamed awe bored boredom calm cheer
    cheerful concern concerned confident confused contempt content cried cries cry crying delight delighted depressed
    depression despair disgust disgusted distress distressed embarrassed emotion emotional emotions ecstatic
    excited excitement fear fearful friendly frustrated frustration fury glad gloomy grief grieving guilt happily
    happiness happy hatred hostile hurt irritated joy joyful laugh laughing laughs laughter lonely love mad melancholy
    mood nervous pain painful panic peaceful playful pleasant pleased pleasure pride proud rage relaxed relief relieved
    sad sadly sadness scared serious shame shocked shy smug sob sobbing sorrow stress stressed surprise surprised
    tearful tears tense tension terrified thoughtful uneasy unhappy upset weep weeping worried worry
    actor actress baby boy celebrity child father female gentleman girl guy he her hers herself him himself his
    identity kid lady male man men mother she teenager woman women
    adolescent adult age aged elderly infant middle-aged old older young younger youthful
    african american arab asian black brown caucasian ethnic ethnicity european hispanic indian latino race skin white
    autism autistic clinical diagnosis disorder palsy paralysis parkinson patient pathology
    psychiatric stroke symptom symptoms syndrome therapy
    """
)
"""Emotions and the inner life, sounds and tears, identity and sex, age, ethnicity, clinical states."""

VOCABULARY = _words(
    """
    a about after afterwards again all along also an and another any are around as at away back be because
    become becomes been before begin beginning begins being beyond both briefly but by can cannot clip close
    come comes coming continue continues do does doing done during each early either end ends entire even
    eventually finally initially first few for forth from further gets go goes going gone gradually had half has
    have held hold holding holds if in into instant is it its itself just keep keeping keeps last lasting lasts
    late later less like little longer many meanwhile moment more most much near nearly neither next no none nor
    not of off on once one only onto or other others out over part pass per quickly quite rather recording
    remain remains s same second seconds seen several shortly show showing shown shows side sides simultaneously
    since slow slowly so some soon start starting starts state stay staying stays steadily still stop stops
    sudden suddenly than that the their them themselves then there these they this those though through
    throughout time times to together too toward towards track turn under until very video visible visibly was
    way well were what when where whereas which while whole whose with within without yet ease eases eased
    easing fade fades fading height highest measure measured measurement movement movements move neutral motion
    motionless peak peaked peaking peaks reach reached reaches reaching relax relaxes rest resting return
    returned returning returns settle settled settles settling unchanged change changes absent action actions
    begun fully full maximum subside subsides subsiding barely clear clearly faint faintly firm firmly gently
    light lightly marked markedly mild mildly moderate moderately noticeable noticeably pronounced sharp sharply
    slight slightly soft softly somewhat strong stronger strongest strongly subtle subtly tightly weak weakly
    wide widely broad broadly bit degree extent intensity left right left-hand right-hand upper inner outer
    middle lower inward inwards outward outwards upward upwards downward downwards up down sideways forward
    forwards open brow brows cheek cheeks chin corner corners eye eyebrow eyebrows eyelid eyelids eyes face
    facial forehead jaw lid lids lip lips mouth nose person person's region teeth turned hidden small far enough
    arch arched arches arching bare bared bares baring blink blinked blinking blinks bunch bunched bunches
    bunching close closed closes closing curl curled curling curls dimple dimpled dimples dimpling draw drawing
    drawn draws drew droop drooped drooping droops drop dropped dropping drops fall falling falls frown frowned
    frowning frowns funnel funneled funneling funnels furrow furrowed furrowing furrows grin grinned grinning
    grins knit knits knitted knitting lift lifted lifting lifts lowered lowering lowers narrow narrowed
    narrowing narrows open opened opening opens parted parting parts press pressed presses pressing pucker
    puckered puckering puckers pull pulled pulling pulls purse pursed purses pursing push pushed pushes pushing
    raise raised raises raising rise risen rises rising roll rolled rolling rolls rose round rounded rounding
    rounds shut shuts shutting smile smiled smiles smiling squint squinted squinting squints stretch stretched
    stretches stretching suck sucked sucking sucks sink sinks sinking tighten tightened tightening tightens
    turning turns widen widened widening widens wrinkle wrinkled wrinkles wrinkling
    """
)
"""What a description of facial movement needs: small words, time, manner, parts of the face, and their verbs."""
